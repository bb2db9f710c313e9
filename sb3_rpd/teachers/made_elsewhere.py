"""Teachers that are made in another process: what makes them on its way there, and what they say back but for answers."""

import inspect
import pickle
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.teacher_outputs import n_logits
from sb3_rpd.common.wording import cut, ending, function_name
from sb3_rpd.teachers.resolve import make_teacher

#: How often a teacher that loads is reported, in seconds.
REPORT_SECONDS = 10.0

#: How long a teacher that has been told to leave may go on with what it is doing, in seconds.
GRACE_SECONDS = 5.0

#: What makes a teacher elsewhere: a callable without arguments, or the name of one, "package.module:factory".
Factory: TypeAlias = Callable[[], Any] | str

T = TypeVar("T")


class Ready(NamedTuple):
    """A teacher is prepared for the action space that it was told."""

    gives_distribution: bool
    takes_action_masks: bool


class Failed(NamedTuple):
    """An exception, as text, since not every exception can be pickled and unpickled."""

    traceback: str

    def __str__(self) -> str:
        return ending(self.traceback)


def attempt(act: Callable[[], T]) -> T | Failed:
    """:return: What a function returns, or the exception that it raises."""
    try:
        return act()
    except Exception:
        return Failed(traceback.format_exc())


def prepare(teacher: Teacher, action_space: spaces.Space) -> Ready:
    """
    :param teacher: A teacher, in its own process.
    :param action_space: The action space of one environment, for which it prepares.
    :return: That it is ready.
    """
    teacher.setup(action_space)
    return Ready(bool(teacher.gives_distribution), bool(teacher.takes_action_masks))


def check_positive(**settings: float) -> None:
    """:raises ValueError: if one of these settings is not positive."""
    for name, value in settings.items():
        if value <= 0:
            raise ValueError(f"{name}={value} must be positive.")


def pickle_factory(factory: Any, kind: str, dumps: Callable[[Any], bytes]) -> bytes:
    """
    Pickle what makes a teacher.

    :param factory: A ``Factory``, as a user passed it.
    :param kind: The class that makes its teacher elsewhere, for messages.
    :param dumps: What pickles it.
    :return: What ``unpickle_teacher`` takes.
    :raises TypeError: if it is a teacher, cannot be called without arguments, or cannot be pickled.
    """
    wanted = "a callable without arguments at the top level of a module, or its name: 'package.module:factory'"
    if isinstance(factory, Teacher) or not (callable(factory) or isinstance(factory, str)):
        raise TypeError(
            f"A {kind} makes its teacher in the new process: one that is here already, like this "
            f"{type(factory).__name__}, would have to be pickled, and be kept twice. Pass what makes it: {wanted}."
        )
    if callable(factory):
        try:
            inspect.signature(factory).bind()
        except TypeError as error:
            raise TypeError(
                f"{function_name(factory)} cannot be called without arguments: {error}. Fix them with functools.partial."
            ) from error
        except ValueError:
            pass  # some C functions have no signature
    try:
        return dumps(factory)
    except Exception as error:
        named = function_name(factory) if callable(factory) else cut(repr(factory))
        raise TypeError(f"{named} cannot be sent to another process: {cut(error)}. Pass {wanted}.") from error


def unpickle_teacher(pickled: bytes) -> Teacher:
    """
    Make the teacher, where it is wanted.

    :param pickled: What ``pickle_factory`` returned.
    :return: What the factory makes, as a teacher.
    """
    factory: Factory = pickle.loads(pickled)
    return make_teacher(factory if isinstance(factory, str) else factory())


def factory_name(factory: Factory | partial[Any]) -> str:
    """:return: A factory as "package.module:factory"."""
    named: Any = factory.func if isinstance(factory, partial) else factory
    return f"{named.__module__}:{named.__qualname__}" if hasattr(named, "__qualname__") else str(named)


def replica_names(name: str, count: int) -> list[str]:
    """
    :param name: How messages call the teacher.
    :param count: How many replicas of it there are.
    :return: How messages call each of them.
    """
    return [name] if count == 1 else [f"{name}, replica {i + 1} of {count}," for i in range(count)]


def share_out(replicas: Sequence[T], questions: Questions) -> list[tuple[T, Questions]]:
    """
    Give each replica a contiguous part of a batch; which one depends on the number of states alone.

    :param replicas: Who can be asked.
    :param questions: The batch.
    :return: Who is asked what. A batch may have fewer states than there are replicas; one without any is asked once.
    """
    parts = list(zip(replicas, questions.parts(len(replicas)), strict=True))
    return [(replica, part) for replica, part in parts if len(part) > 0] or parts[:1]


def merge_answers(
    answers: Sequence[TeacherOutput | None], parts: Sequence[Questions], action_space: spaces.Space, gives_distribution: bool
) -> TeacherOutput:
    """
    Put the answers to parts of a batch together.

    :param answers: The answer to each part, None where there is none.
    :param parts: The parts.
    :param action_space: The action space of one environment.
    :param gives_distribution: Whether answers have one.
    :return: One answer to all of them, with rows of NaN where there is none.
    :raises TeacherError: if an answer has a wrong number of rows, or the answers have different shapes.
    """
    if any(answer is not None for answer in answers):
        return TeacherOutput.merge(answers, parts)
    n = sum(len(part) for part in parts)
    actions = np.full((n, *(action_space.shape or ())), np.nan, np.float32)
    if not gives_distribution:
        return TeacherOutput(actions)
    if isinstance(action_space, spaces.Box):
        return TeacherOutput(actions, std=np.full_like(actions, np.nan))
    return TeacherOutput(actions, logits=np.full((n, n_logits(action_space)), np.nan, np.float32))

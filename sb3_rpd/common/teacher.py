"""What every teacher is: a batch of raw observations in, a batch of actions in the environment's units out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import shortened


@dataclass(frozen=True)
class TeacherOutput:
    """
    A teacher's answer to a batch of n observations.

    :param actions: The actions, of shape (n, \\*action_space.shape), in the environment's own units:
        inside the Box, or integers for Discrete, MultiDiscrete and MultiBinary spaces. Where the teacher
        gives a distribution this is its mode. A row of NaN (floats, in discrete spaces too) means "no
        answer for this one".
    :param std: For a Box: standard deviation of a diagonal Gaussian around ``actions``, same shape and units.
    :param logits: For discrete spaces: unnormalized log-probabilities of shape (n, k); k is ``n`` for
        Discrete, ``sum(nvec)`` for MultiDiscrete, the number of bits (log-odds of a one) for MultiBinary.
    :param clipped: For a Box: how many numbers of each action the teacher itself has clipped to the Box, of shape (n,); for
        the log.
    """

    actions: np.ndarray
    std: np.ndarray | None = None
    logits: np.ndarray | None = None
    clipped: np.ndarray | None = None

    @classmethod
    def of(cls, answer: Any) -> "TeacherOutput":
        """
        :param answer: What ``Teacher.predict`` returned: actions alone, or a ``TeacherOutput``.
        :return: The same as a ``TeacherOutput``, PyTorch's tensors as arrays.
        """
        output = answer if isinstance(answer, cls) else cls(answer)
        tensors = {name: value for name, value in vars(output).items() if isinstance(value, th.Tensor)}
        return replace(output, **{name: _to_array(tensor) for name, tensor in tensors.items()}) if tensors else output

    def clip(self, space: spaces.Box) -> "TeacherOutput":
        """:return: The same answer with its actions inside the Box, and with the count of the numbers that were not."""
        actions = np.clip(self.actions, space.low, space.high)
        # NaN is not equal to itself
        outside = (actions != self.actions) & ~np.isnan(self.actions)
        clipped = outside.reshape(len(outside), -1).sum(axis=1)
        return replace(self, actions=actions, clipped=clipped if self.clipped is None else self.clipped + clipped)

    @classmethod
    def merge(cls, answers: Sequence["TeacherOutput | None"], questions: Sequence[Questions]) -> "TeacherOutput":
        """
        Put the answers to parts of a batch together.

        :param answers: The answer to each part, None where there is none; at least one is there.
        :param questions: The parts.
        :return: One answer to all of them, with rows of NaN for the parts without one. It has a distribution if all answers
            have one.
        :raises TeacherError: if an answer has a wrong number of rows, or the answers have different shapes.
        """
        given = [answer for answer in answers if answer is not None]
        merged = {}
        for name in ("actions", "std", "logits", "clipped"):
            arrays = [None if answer is None else getattr(answer, name) for answer in answers]
            if all(getattr(answer, name) is not None for answer in given):
                merged[name] = _joined(name, arrays, [len(part) for part in questions])
        return cls(**merged)


def _to_array(tensor: th.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    # numpy has no bfloat16
    array: np.ndarray = (tensor.float() if tensor.dtype == th.bfloat16 else tensor).numpy()
    return array


def _joined(name: str, arrays: Sequence[np.ndarray | None], sizes: Sequence[int]) -> np.ndarray:
    shapes = set()
    for array, size in zip(arrays, sizes, strict=True):
        if array is None:
            continue
        if np.shape(array)[:1] != (size,):
            raise TeacherError(f"The teacher's {name} have shape {np.shape(array)}, but it was given {size} observations.")
        shapes.add(np.shape(array)[1:])
    if len(shapes) > 1:
        raise TeacherError(f"The teacher's answers have {name} of different shapes: {shortened(sorted(shapes))}.")
    shape = shapes.pop()
    return np.concatenate(
        [
            np.full((size, *shape), np.nan, np.float32) if array is None else array
            for array, size in zip(arrays, sizes, strict=True)
        ]
    )


class Teacher(ABC):
    """
    Something that knows, more or less well, what to do: a VLA, a scripted controller, an old policy, a server.

    RPD asks a teacher once for each rollout-buffer entry, in batches over environments and time, from a
    background thread. A teacher is therefore a function of the observations that it is given and of its own
    seed; it keeps no memory of an episode.
    """

    #: Whether ``predict`` returns a ``TeacherOutput`` with ``std`` or ``logits``, which the "kl" loss needs.
    gives_distribution: bool = False

    #: Whether ``predict`` looks for "action_mask" in what the environments offer. ``MaskableRPD`` adds those that it has.
    takes_action_masks: bool = False

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def setup(self, action_space: spaces.Space) -> None:  # noqa: B027 (optional hook)
        """
        Called once before the first query, in the training process.

        :param action_space: The action space of one environment.
        :raises TeacherError: if this teacher cannot act in that space.
        """

    @abstractmethod
    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray | TeacherOutput:
        """
        Say what to do in each of n situations.

        :param observations: What the environment's ``TeacherActionWrapper`` offers: a dict of arrays, each of
            shape (n, ...), by name. Without that wrapper: the student's own observation, un-normalized and with
            images channels last, as an array of shape (n, \\*observation_space.shape) or a dict of such arrays.
        :param instructions: One instruction for each observation, or None where the environment gives none.
        :return: Actions of shape (n, \\*action_space.shape) in the environment's units, or a ``TeacherOutput``.
        """

    def close(self) -> None:  # noqa: B027 (optional hook)
        """Release what the teacher holds (processes, connections). May be called more than once."""


def ask_teacher(teacher: Teacher, questions: Questions) -> TeacherOutput:
    """
    Ask a teacher, in the way in which everything here asks one.

    :param teacher: Whom to ask.
    :param questions: What about.
    :return: What it said, not checked.
    """
    # PyTorch switches gradients off for each thread by itself
    with th.no_grad():
        return TeacherOutput.of(teacher.predict(questions.observations, questions.instructions))

"""What runs in an actor of Ray: it makes the teacher and answers. Ray may start it again at any time, from the beginning."""

import os
from functools import partial
from typing import NamedTuple, TypeAlias

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput, ask_teacher
from sb3_rpd.teachers.made_elsewhere import Failed, Ready, attempt, prepare, unpickle_teacher


class Setup(NamedTuple):
    """
    What the teacher is to be prepared for. It goes along with each question, since an actor that was started again forgets it.

    :param number: Which setup it is. Each is told to the teacher once.
    :param action_space: The action space of one environment.
    """

    number: int
    action_space: spaces.Space


_Content: TypeAlias = Ready | TeacherOutput | Failed


class Reply(NamedTuple):
    """
    What the actor says.

    :param content: The answer, or why there is none.
    :param pid: The id of its process.
    """

    content: _Content
    pid: int


class TeacherActor:
    """
    The class of the actors.

    :param factory: What makes the teacher, pickled.
    :param n_threads: Number of threads for PyTorch.
    """

    def __init__(self, factory: bytes, n_threads: int) -> None:
        th.set_num_threads(n_threads)
        self._factory = factory
        self._teacher: Teacher | None = None
        self._number: int | None = None

    def prepare(self, setup: Setup) -> Reply:
        """:return: ``Ready``, or ``Failed``."""
        return self._reply(attempt(partial(self._prepare, setup)))

    def answer(self, setup: Setup, questions: Questions) -> Reply:
        """:return: A ``TeacherOutput``, or ``Failed``."""
        return self._reply(attempt(partial(self._answer, setup, questions)))

    def close(self) -> None:
        """Let the teacher release what it holds."""
        if self._teacher is not None:
            self._teacher.close()

    def _reply(self, content: _Content) -> Reply:
        return Reply(content, os.getpid())

    def _answer(self, setup: Setup, questions: Questions) -> TeacherOutput:
        if setup.number != self._number:
            self._prepare(setup)
        return ask_teacher(self._made_teacher(), _writable(questions))

    def _prepare(self, setup: Setup) -> Ready:
        ready = prepare(self._made_teacher(), setup.action_space)
        self._number = setup.number
        return ready

    def _made_teacher(self) -> Teacher:
        if self._teacher is None:
            self._teacher = unpickle_teacher(self._factory)
        return self._teacher


def _writable(questions: Questions) -> Questions:
    """Ray's arrays are read-only, and a teacher may write in those that it is given."""
    arrays = {name: np.array(array) for name, array in questions.named_observations.items()}
    is_dict = isinstance(questions.observations, dict)
    return Questions(arrays if is_dict else next(iter(arrays.values())), questions.instructions)

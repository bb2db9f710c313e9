"""Somebody who acts in vectorized environments, from a reset on: a teacher by its view, a student by its observations."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_rpd.common.asking import act_alone
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.teacher_inputs import TeacherInputReader
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.evaluation.student import Student
from sb3_rpd.teachers.action_masks import masks_of, offers_masks, with_action_mask
from sb3_rpd.teachers.resolve import make_teacher


class Actor(ABC):
    """Acts in environments: it is told of each reset and of each step that they have made, and says what to do next."""

    @abstractmethod
    def begin(self, observations: VecEnvObs) -> None:
        """
        :param observations: What ``reset()`` returned.
        """

    @abstractmethod
    def go_on(self, observations: VecEnvObs, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        """
        :param observations: What ``step()`` returned.
        :param dones: Likewise.
        :param infos: Likewise.
        """

    @abstractmethod
    def act(self) -> np.ndarray:
        """:return: The next actions, of shape (n_envs, \\*action_space.shape)."""


class _TeacherActor(Actor):
    def __init__(self, teacher: Teacher, env: VecEnv) -> None:
        teacher.setup(env.action_space)
        self._teacher, self._env = teacher, env
        self._reader = TeacherInputReader(env)
        self._adds_masks = teacher.takes_action_masks and offers_masks(env)
        self._inputs: list[TeacherInfo] = []

    def begin(self, observations: VecEnvObs) -> None:
        self._inputs = self._reader.after_reset(observations)

    def go_on(self, observations: VecEnvObs, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        self._inputs = self._reader.after_step(observations, dones, infos)

    def act(self) -> np.ndarray:
        inputs = self._inputs
        if self._adds_masks:
            inputs = [with_action_mask(info, mask) for info, mask in zip(inputs, masks_of(self._env), strict=True)]
        return act_alone(self._teacher, inputs, self._env.action_space)


class _StudentActor(Actor):
    def __init__(self, student: Student, env: VecEnv) -> None:
        student.setup(env)
        self._student, self._env = student, env

    def begin(self, observations: Any) -> None:
        self._observations, self._starts = observations, np.ones(self._env.num_envs, dtype=bool)

    def go_on(self, observations: Any, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        self._observations, self._starts = observations, dones

    def act(self) -> np.ndarray:
        masks = masks_of(self._env) if self._student.takes_action_masks else None
        return self._student.act(self._observations, self._starts, masks)


@contextmanager
def acting_in(env: VecEnv, who: Any) -> Iterator[Actor]:
    """
    Inside, somebody is ready to act, and the environments read nothing for a teacher if it is a student.

    :param env: The environments, without wrappers of a ``VecEnv``.
    :param who: A ``Student``, or what ``make_teacher`` accepts.
    :return: Who acts.
    :raises TeacherError: if the environments are not what it acts in.
    """
    if not isinstance(who, Student):
        yield _TeacherActor(make_teacher(who), env)
        return
    actor = _StudentActor(who, env)
    requests = TeacherInputReader(env).requests
    requests.stop_reading()
    try:
        yield actor
    finally:
        requests.read_everything()

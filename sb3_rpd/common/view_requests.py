"""Tells the environments which of their coming states the teacher will be asked about, so that no other is looked at."""

from collections.abc import Sequence

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wrappers import UNREAD


class ViewRequests:
    """
    Speaks with the ``TeacherActionWrapper`` of each environment: once before a rollout, not at each step.

    A plan counts steps. Where somebody else than the rollout steps the environments too (a callback that evaluates on them, a
    wrapper that repeats actions), it no longer fits: what is needed and has not been read is then fetched right after the
    step, which costs a round trip and gives the same view.

    :param env: The training environment with all its wrappers.
    :param is_possible: Whether all environments have a ``TeacherActionWrapper``.
    """

    def __init__(self, env: VecEnv, is_possible: bool) -> None:
        self._env = env
        self._is_possible = is_possible
        self._is_numbered = False
        #: Whether the environments have been told to read less than everything, and whether that has turned out not to fit.
        self._is_planned = False
        self._is_off = False

    def begin(self, wanted: np.ndarray) -> None:
        """
        Before a rollout.

        :param wanted: Shape (n_steps, n_envs), bool: whether the teacher will be asked about the states after each step.
        """
        self._is_off = False
        self._is_planned = self._is_possible and not wanted.all()
        if self._is_planned and not self._is_numbered:
            self._number()
        if self._is_planned:
            self._env.env_method("plan_teacher_views", wanted)

    def _number(self) -> None:
        try:
            for place in range(self._env.num_envs):
                self._env.env_method("set_teacher_view_place", place, indices=[place])
            self._is_numbered = True
        except Exception:
            # A VecEnv that is not SB3's may be unable to call its environments: then everything is read
            self._is_possible = self._is_planned = False

    def end(self, is_complete: bool) -> None:
        """
        After a rollout.

        :param is_complete: Whether the environments have made all steps of the plan, after which they read everything again.
        """
        if self._is_planned and (self._is_off or not is_complete):
            self._go_on_with(everything=True)

    def stop_reading(self) -> None:
        """Before somebody else than a rollout steps the environments, to whom what a teacher sees is of no use."""
        if self._is_possible and not self._is_numbered:
            self._number()
        if self._is_possible:
            self._go_on_with(everything=False)

    def read_everything(self) -> None:
        """The end of ``stop_reading``."""
        if self._is_possible:
            self._go_on_with(everything=True)

    def fetch(self, infos: Sequence[TeacherInfo], wanted: np.ndarray | None = None) -> list[TeacherInfo]:
        """
        Get what has not been read, if the environments are still where they were.

        :param infos: What the environments offer of some states.
        :param wanted: Shape (n_envs,), bool: of which it is needed; None for all.
        :return: The same, with what could be got. What is still ``UNREAD`` and needed is lost.
        """
        infos = list(infos)
        missing = [i for i, info in enumerate(infos) if UNREAD in info and (wanted is None or wanted[i])]
        if missing:
            present = self._env.env_method("teacher_view", indices=missing)
            for i, (moment, view) in zip(missing, present, strict=True):
                if moment == infos[i][UNREAD]:
                    infos[i] = view
        return infos

    def compare(self, infos: Sequence[TeacherInfo], wanted: np.ndarray) -> None:
        """
        See whether the plan fits, and end it where it does not.

        :param infos: What the environments offered after a step.
        :param wanted: Shape (n_envs,), bool: what they were to read.
        """
        if self._is_off or not self._is_possible:
            return
        if any((UNREAD in info) == bool(is_wanted) for info, is_wanted in zip(infos, wanted, strict=True)):
            self._is_off = True
            # With no plan, one is at work that a rollout has left behind which ended with an error
            self._go_on_with(everything=not self._is_planned)

    def _go_on_with(self, *, everything: bool) -> None:
        no_steps = np.zeros((0, self._env.num_envs), dtype=bool)
        self._env.env_method("plan_teacher_views", no_steps, afterwards=everything)

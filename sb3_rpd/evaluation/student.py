"""A student that acts as it was trained: with its statistics, its memory, and the masks of its environments."""

from inspect import signature
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.vec_normalize import load_statistics, normalized
from sb3_rpd.common.wording import cut
from sb3_rpd.teachers.action_masks import MASK_METHOD, offers_masks
from sb3_rpd.teachers.units import same_actions


class Student:
    """
    A trained model that acts in environments: a memory (``RecurrentPPO``) goes on from step to step and begins anew with each
    episode, and one that takes action masks (``MaskablePPO``) gets those of the environments.

    What a student sees is the environment's own observation. Unlike an ``SB3Teacher`` it may remember, and it takes no part in
    what a ``TeacherActionWrapper`` offers.

    :param model: The model.
    :param vec_normalize: The statistics of its training, or the path that ``VecNormalize.save()`` wrote; None for those of the
        ``VecNormalize`` in the model's own environment, if it has one. An object is copied.
    :param deterministic: Whether to act with the mode of its distribution, which draws no random numbers.
    """

    def __init__(
        self,
        model: BaseAlgorithm,
        vec_normalize: VecNormalize | str | Path | None = None,
        *,
        deterministic: bool = True,
    ) -> None:
        self.model = model
        statistics = model.get_vec_normalize_env() if vec_normalize is None else vec_normalize
        self.vec_normalize = None if statistics is None else load_statistics(statistics)
        self.deterministic = deterministic
        self.takes_action_masks = "action_masks" in signature(model.predict).parameters
        #: What it remembers of each environment, as the model's ``predict`` returned it.
        self._states: tuple[np.ndarray, ...] | None = None

    def __repr__(self) -> str:
        return f"Student({type(self.model).__name__})"

    def setup(self, env: VecEnv | gym.Env[Any, Any]) -> None:
        """
        Called before the first episode.

        :param env: Environments without the wrappers of a ``VecEnv``, or one.
        :raises TeacherError: if the student was trained for others.
        """
        seen, shown = self.model.observation_space, env.observation_space
        if not same_actions(self.model.action_space, env.action_space):
            raise TeacherError(
                f"The student acts in {cut(self.model.action_space)}, the environment in {cut(env.action_space)}."
            )
        if not _shows(shown, seen):
            raise TeacherError(
                f"The student observes {cut(seen)}, the environment shows {cut(shown)}: it was trained in another one, or "
                "with wrappers of a VecEnv, such as VecFrameStack, which take no part here."
            )
        if self.takes_action_masks and not offers_masks(env):
            raise TeacherError(
                f"The student has to be told what is forbidden, and the environment has no {MASK_METHOD}(): give it this "
                "method, or put an ActionMasker of sb3_contrib around it."
            )

    def act(
        self, observations: RawObservation, episode_starts: np.ndarray, action_masks: np.ndarray | None = None
    ) -> np.ndarray:
        """
        Make the next step in each of n environments, always the same ones in the same order.

        :param observations: As the environments give them, first axis n.
        :param episode_starts: Shape (n,), bool: in which of them an episode begins.
        :param action_masks: Shape (n, choices), true where an action is allowed; for students that take them.
        :return: Actions of shape (n, \\*action_space.shape), as the environments take them.
        :raises TeacherError: if the statistics do not fit the observations.
        """
        space = self.model.observation_space
        if isinstance(space, spaces.Dict):
            assert isinstance(observations, dict)
            observations = {name: observations[name] for name in space.spaces}
        masks: dict[str, Any] = {"action_masks": action_masks} if self.takes_action_masks else {}
        # Where all begin there may have been others before, and more or fewer of them
        actions, self._states = self.model.predict(
            normalized(observations, self.vec_normalize, "student"),
            state=None if episode_starts.all() else self._states,
            episode_start=episode_starts,
            deterministic=self.deterministic,
            **masks,
        )
        return actions


def _shows(offered: spaces.Space, wanted: spaces.Space) -> bool:
    """Whether an environment's observations have what a model observes, in the same shapes; channels of images may be last."""
    if isinstance(wanted, spaces.Dict):
        return isinstance(offered, spaces.Dict) and all(
            name in offered.spaces and _shows(offered[name], one) for name, one in wanted.spaces.items()
        )
    if isinstance(offered, spaces.Dict) or type(offered) is not type(wanted):
        return False
    shape = offered.shape or ()
    return wanted.shape in (shape, (*shape[-1:], *shape[:-1])) and getattr(offered, "n", 0) == getattr(wanted, "n", 0)

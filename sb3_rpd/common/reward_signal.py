"""Whether the rewards of a rollout tell one action from another."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize


class RewardSignal:
    """
    Looks at the rewards of one rollout as the environments give them: not normalized by a ``VecNormalize``, and without the
    value that SB3 adds where a time limit cuts an episode off.

    Rewards that are all the same tell nothing, unless an episode ends by itself and they are not zero: for surviving as long
    as possible, as in CartPole, each step has the same reward.

    :param env: The environments in which the rollout is collected.
    """

    def __init__(self, env: VecEnv) -> None:
        self._normalization = unwrap_vec_normalize(env)
        self._first: float | None = None
        #: Whether there is any in what has been seen so far.
        self.is_present = False

    def add(self, rewards: np.ndarray, dones: np.ndarray, infos: Sequence[dict[str, Any]]) -> None:
        """
        :param rewards: What the last step of the environments returned, shape (n_envs,).
        :param dones: Where it ended an episode, shape (n_envs,).
        :param infos: Its infos, n_envs of them; "TimeLimit.truncated" tells those that were cut off.
        """
        if self._normalization is not None:
            rewards = self._normalization.get_original_reward()
        if self._first is None:
            self._first = float(rewards[0])
        if (rewards != self._first).any():
            self.is_present = True
        elif self._first != 0.0:
            ended = [done and not info.get("TimeLimit.truncated", False) for done, info in zip(dones, infos, strict=True)]
            self.is_present = self.is_present or any(ended)

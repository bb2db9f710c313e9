"""In how much of a rollout the rewards tell one action from another."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class RewardSignal:
    """
    Looks at the rewards of one rollout, step by step, for episodes in which there was a reward to go by.

    That is one that differs from what more than half of all steps were rewarded with, such as the zero of a sparse reward.
    Where no reward is that common, as with a dense one, there is one in all of them. If the common reward is not zero, an
    episode that ends by itself counts too: it is cut short, or spared the rest, as in CartPole. Of an episode that goes on
    before or after the rollout, the part within it counts.
    """

    def __init__(self) -> None:
        self._rewards: list[np.ndarray] = []
        self._dones: list[np.ndarray] = []
        self._terminated: list[list[bool]] = []

    def add(self, rewards: np.ndarray, dones: np.ndarray, infos: Sequence[dict[str, Any]]) -> None:
        """
        :param rewards: Those of one step, shape (n_envs,), without the value that SB3 adds where a time limit cuts an episode
            off. A constant cost is no longer constant once a ``VecNormalize`` has normalized it.
        :param dones: Where the step ended an episode, shape (n_envs,).
        :param infos: Its infos, n_envs of them; "TimeLimit.truncated" tells those that were cut off.
        """
        self._rewards.append(rewards.copy())
        self._dones.append(dones.copy())
        self._terminated.append(
            [bool(done) and not info.get("TimeLimit.truncated", False) for done, info in zip(dones, infos, strict=True)]
        )

    def rewarded(self) -> np.ndarray:
        """:return: Which entries are in such episodes, booleans of shape (n_steps, n_envs)."""
        rewards = np.array(self._rewards)
        common = np.median(rewards)
        tells = rewards != common
        if tells.mean() >= 0.5:
            return np.ones_like(tells)
        if common != 0.0:
            tells |= np.array(self._terminated)
        episodes = self._episodes()
        return np.isin(episodes, episodes[tells])

    def share(self) -> float:
        """:return: The share of such episodes, from 0 to 1; 1 where nothing was added."""
        if not self._rewards:
            return 1.0
        episodes = self._episodes()
        return len(np.unique(episodes[self.rewarded()])) / len(np.unique(episodes))

    def _episodes(self) -> np.ndarray:
        """:return: A number for each episode, in the place of each of its steps, shape (n_steps, n_envs)."""
        dones = np.array(self._dones)
        n_steps, n_envs = dones.shape
        begun = np.zeros((n_steps, n_envs), int)
        begun[1:] = np.cumsum(dones[:-1], axis=0)
        numbers: np.ndarray = begun + (n_steps + 1) * np.arange(n_envs)
        return numbers

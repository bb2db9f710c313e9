"""Whether the rewards of a rollout tell one action from another."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class RewardSignal:
    """
    Looks at the rewards of one rollout, step by step.

    Rewards that are all the same tell nothing, unless an episode ends by itself and they are not zero: for surviving as long
    as possible, as in CartPole, each step has the same reward.
    """

    def __init__(self) -> None:
        self._first: float | None = None
        #: Whether there is any in what has been seen so far.
        self.is_present = False

    def add(self, rewards: np.ndarray, dones: np.ndarray, infos: Sequence[dict[str, Any]]) -> None:
        """
        :param rewards: Those of one step, shape (n_envs,), without the value that SB3 adds where a time limit cuts an episode
            off. A constant cost is no longer constant once a ``VecNormalize`` has normalized it.
        :param dones: Where the step ended an episode, shape (n_envs,).
        :param infos: Its infos, n_envs of them; "TimeLimit.truncated" tells those that were cut off.
        """
        if self.is_present:
            return
        if self._first is None:
            self._first = float(rewards[0])
        ended = (done and not info.get("TimeLimit.truncated", False) for done, info in zip(dones, infos, strict=True))
        self.is_present = bool((rewards != self._first).any()) or (self._first != 0.0 and any(ended))

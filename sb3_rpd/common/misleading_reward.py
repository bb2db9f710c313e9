"""Notices while training that an agent unlearns success because its reward pays more for something else."""

import math
import warnings
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback


class _Block(NamedTuple):
    """Episodes that followed each other: mean return, the variance of that mean, success rate."""

    mean_return: float
    variance_of_mean: float
    success_rate: float


class MisleadingRewardWatch:
    """
    Warns, once, when the return rises while the success rate falls.

    Episodes are put into blocks in the order in which they end. It is warned where since some earlier block the success rate
    has fallen (test of two proportions) and the mean return has not, and since that block, or one before it, the mean
    return has risen (Welch's test). The last two are not the same: while success is unlearned, the return may climb
    slowly on a slope that it has been climbing all along. Each test is passed by chance, over a training of any length,
    with at most the probability ``alpha`` (a union bound over all pairs of blocks, in the normal approximation).

    :param block_size: How many episodes make a block.
    :param alpha: The probability with which chance alone may pass a test.
    """

    def __init__(self, block_size: int = 100, alpha: float = 0.01) -> None:
        self.block_size = block_size
        self.alpha = alpha
        self.has_warned = False
        self._blocks: list[_Block] = []
        self._episodes: list[tuple[float, bool]] = []
        self._newest_seen: Mapping[str, Any] | None = None

    def update(self, episodes: Sequence[Mapping[str, Any]] | None, successes: Sequence[bool] | None) -> None:
        """
        Called whenever episodes may have ended, an iteration for instance.

        :param episodes: SB3's ``ep_info_buffer``: the last episodes, with their return under "r".
        :param successes: SB3's ``ep_success_buffer``: whether each was a success. Where it is not known of each, nothing
            is done.
        """
        if self.has_warned or not episodes or not successes or len(episodes) != len(successes):
            return
        new = []
        for episode, is_success in zip(reversed(episodes), reversed(successes), strict=True):
            if episode is self._newest_seen:
                break
            new.append((float(episode["r"]), bool(is_success)))
        self._newest_seen = episodes[-1]
        self._episodes += reversed(new)
        while len(self._episodes) >= self.block_size and not self.has_warned:
            block, self._episodes = self._episodes[: self.block_size], self._episodes[self.block_size :]
            self._compare(block)

    def _compare(self, episodes: list[tuple[float, bool]]) -> None:
        returns, successes = np.array(episodes, dtype=float).T
        newest = _Block(float(returns.mean()), float(returns.var(ddof=1)) / len(returns), float(successes.mean()))
        if self._blocks:
            peak = self._unlearned_since(newest)
            if peak is not None:
                self._warn(peak, newest)
        self._blocks.append(newest)

    def _unlearned_since(self, newest: _Block) -> int | None:
        """The block of most successes among those since which success has been unlearned for return, None without one."""
        n = len(self._blocks)
        # over all numbers of earlier blocks the levels sum to alpha: n pairs each, and the sum of 1 / (n * (n + 1)) is 1
        quantile = NormalDist().inv_cdf(1.0 - self.alpha / (n * n * (n + 1)))
        has_risen = False
        peak: int | None = None
        for k, earlier in enumerate(self._blocks):
            has_risen = has_risen or self._return_has_risen(earlier, newest, quantile)
            if has_risen and newest.mean_return >= earlier.mean_return and self._success_has_fallen(earlier, newest, quantile):
                peak = k if peak is None or earlier.success_rate > self._blocks[peak].success_rate else peak
        return peak

    def _return_has_risen(self, earlier: _Block, newest: _Block, quantile: float) -> bool:
        deviation = math.sqrt(earlier.variance_of_mean + newest.variance_of_mean)
        return newest.mean_return - earlier.mean_return > quantile * deviation

    def _success_has_fallen(self, earlier: _Block, newest: _Block, quantile: float) -> bool:
        rate = (earlier.success_rate + newest.success_rate) / 2
        deviation = math.sqrt(2 * rate * (1 - rate) / self.block_size)
        return earlier.success_rate - newest.success_rate > quantile * deviation

    def _warn(self, index: int, newest: _Block) -> None:
        self.has_warned = True
        earlier = self._blocks[index]
        first, last = index * self.block_size + 1, (index + 1) * self.block_size
        warnings.warn(
            f"The agent unlearns success while its return rises: episodes {first} to {last} had {earlier.success_rate:.0%} "
            f"success and a mean return of {earlier.mean_return:.4g}, the last {self.block_size} had "
            f"{newest.success_rate:.0%} and {newest.mean_return:.4g}. The reward pays more for something else than success, "
            "often for hovering short of it where success ends the episode. Wrap each environment in sb3_rpd.envs."
            'StepCostWrapper (ManiSkill2: make_maniskill2_env\'s reward="dense"), take a sparse reward, or lower gamma.',
            stacklevel=3,
        )


class MisleadingRewardCallback(BaseCallback):
    """
    The ``MisleadingRewardWatch`` for other algorithms of Stable-Baselines3; ``RPD`` has one of its own.

    It needs what ``Monitor`` writes, and ``info["is_success"]`` in the last step of each episode.

    :param watch: What compares the episodes; None for the default.
    """

    def __init__(self, watch: MisleadingRewardWatch | None = None) -> None:
        super().__init__()
        self.watch = watch or MisleadingRewardWatch()

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.watch.update(self.model.ep_info_buffer, self.model.ep_success_buffer)

"""A reward under which success is the best that an agent can do, made of a dense one that pays more for hovering."""

import warnings
from typing import Any

import gymnasium as gym

# rewards are sums of floats, and a bound is often reached exactly
_ROUNDING = 1e-6


class StepCostWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Turn a positive dense reward into a cost of every step short of success.

    Where a dense reward is positive and success ends the episode, an agent that stops just short of success goes on being
    paid, and learns to stop there. Here a step pays ``reward - max_reward``, and a step that ends in success at least 0.

    That corrects it for every discount and time limit: a step short of success pays at most 0, so an agent that never succeeds
    gets a discounted sum of numbers <= 0 from wherever it is, cut off or bootstrapped; success now is worth at least 0.

    Where episodes end by time alone, the reward differs by a constant from the one before, and so does nothing that an agent
    learns from it. ``VecNormalize(norm_reward=True)`` may go on top: it divides rewards and does not move their zero.

    :param env: The environment to wrap.
    :param max_reward: The most that it pays for a step short of success. Where it pays more, that counts as so much, and it
        is said once.
    :param success_key: The key of ``info`` that says after a step whether the task is solved; without it it is not.
    :param failure_reward: What a step pays that ends the episode without success (``terminated``), in place of its own
        reward. With a cost of every step, failing early is cheap; this should be less than going on until the time limit
        costs. None: such an end is an error.
    :raises ValueError: by ``step``, if an episode fails and there is no ``failure_reward``.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        max_reward: float,
        *,
        success_key: str = "is_success",
        failure_reward: float | None = None,
    ) -> None:
        super().__init__(env)
        self.max_reward = max_reward
        self.success_key = success_key
        self.failure_reward = failure_reward
        self._has_warned = False

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        if info.get(self.success_key, False):
            new_reward = max(float(reward) - self.max_reward, 0.0)
        elif terminated:
            new_reward = self._after_failure(info)
        else:
            new_reward = self._short_of_success(float(reward))
        return observation, new_reward, terminated, truncated, info

    def _short_of_success(self, reward: float) -> float:
        excess = reward - self.max_reward
        if excess > _ROUNDING * max(1.0, abs(self.max_reward)) and not self._has_warned:
            self._has_warned = True
            warnings.warn(
                f"A step short of success paid {reward:g}, more than StepCostWrapper's max_reward={self.max_reward:g}. Such "
                "rewards count as max_reward: give it the most that the environment pays for a step.",
                stacklevel=3,
            )
        return min(excess, 0.0)

    def _after_failure(self, info: dict[str, Any]) -> float:
        if self.failure_reward is None:
            said = f"info[{self.success_key!r}] is false" if self.success_key in info else f"info has no {self.success_key!r}"
            raise ValueError(
                f"An episode terminated without success ({said}). If that is a failure, give StepCostWrapper a failure_reward "
                "(below what going on would cost); if it is a success, the success_key under which info says so."
            )
        return self.failure_reward

"""The wrapper that turns one Meta-World environment into one that Stable-Baselines3 can train on."""

from typing import Any, cast

import gymnasium as gym
import numpy as np
from gymnasium import spaces

#: The most that Meta-World's reward pays for a step.
MAX_REWARD = 10.0


class MetaWorldWrapper(gym.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """
    Observations as float32, episodes that a seed decides, ``info["is_success"]``, and rewards in [0, 1].

    :param env: An environment of Meta-World that shows the goal.
    :param sparse: Whether the reward is 1 on success and otherwise 0; if not, it is a tenth of Meta-World's.
    :param end_on_success: Whether a solved task ends the episode. In Meta-World only the time limit does.
    """

    def __init__(self, env: gym.Env[Any, Any], *, sparse: bool, end_on_success: bool) -> None:
        super().__init__(env)
        self._sparse = sparse
        self._end_on_success = end_on_success
        self._is_seeded = False
        self._bare = cast(Any, env.unwrapped)
        # Where objects and goal are would stay as it was in the first episode, or come from numpy's global generator
        self._bare._freeze_rand_vec = False
        self._bare.seeded_rand_vec = True
        self.observation_space = spaces.Box(-np.inf, np.inf, self._bare.observation_space.shape, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """
        Start an episode, with objects and goal in new places.

        :param seed: Decides this episode and those that follow without one. Without one in the first, it is drawn from the
            operating system.
        :param options: Meta-World has none.
        :return: The first observation, and ``info``.
        """
        if seed is None and not self._is_seeded:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        if seed is not None:
            # Meta-World's own reset ignores it
            self._bare.seed(seed)
        self._is_seeded = True
        observation, info = self.env.reset(options=options)
        return np.asarray(observation, np.float32), info

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """
        Act for one control step.

        :param action: A displacement of the hand, in units of 0.01 m, and the effort of the fingers, each in [-1, 1].
        :return: As in gymnasium. ``info["is_success"]`` says whether the task is solved in the new state.
        """
        observation, reward, _, truncated, info = self.env.step(action)
        is_success = bool(info["success"])
        info["is_success"] = is_success
        paid = float(is_success) if self._sparse else float(reward) / MAX_REWARD
        return np.asarray(observation, np.float32), paid, is_success and self._end_on_success, truncated, info

"""
A world of seconds: a hand in a box reaches for an object and closes its fingers on it.

All copies are moved by one set of array operations. The state is what is needed to act well; there is no contact.
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

from sb3_rpd.common.wrappers import TEACHER_INFO_KEY

#: Steps of an episode.
EPISODE_STEPS = 40
#: How far an action of 1 moves the hand, and how near to the object it must be when its fingers close.
STEP_LENGTH, GRASP_RADIUS = 0.1, 0.08
#: Hand and object start in a cube of this half width; the hand cannot leave one of half width 1.
START_HALF_WIDTH = 0.7
#: In an observation, the way to the object is multiplied by this.
OFFSET_SCALE = 4.0
#: What the dense reward takes off for each unit of distance and step.
DISTANCE_COST = 0.05

REWARDS = ("sparse", "dense")


class ReachingVecEnv(VecEnv):
    """
    An action has three numbers for the motion of the hand and one for its fingers (above 0: open). An episode is solved when
    open fingers close within ``GRASP_RADIUS`` of the object: that ends it, as its time limit does.

    An observation has seven numbers: ``OFFSET_SCALE`` times the way from hand to object, the hand's position, and 1 or -1 for
    open or closed fingers. The teacher sees the same under the name "state", and as "state_past", of shape (history, 7),
    what it was in the steps before; before the first step lies the first observation.

    :param n_envs: Number of copies.
    :param reward: "sparse", 1 for success and otherwise 0; or "dense", the same minus ``DISTANCE_COST`` times the distance.
    :param history: How many steps of the past the teacher is offered.
    """

    def __init__(self, n_envs: int, reward: str = "sparse", history: int = 0) -> None:
        if reward not in REWARDS:
            raise ValueError(f"reward must be one of {REWARDS}, not {reward!r}.")
        self.render_mode = None  # SB3 asks for it while it sets itself up
        super().__init__(n_envs, spaces.Box(-np.inf, np.inf, (7,), np.float32), spaces.Box(-1.0, 1.0, (4,), np.float32))
        self.reward_mode = reward
        self.history = history
        self.hand, self.object = np.zeros((n_envs, 3)), np.zeros((n_envs, 3))
        self.is_open = np.ones(n_envs, dtype=bool)
        self.steps, self.returns = np.zeros(n_envs, dtype=int), np.zeros(n_envs)
        self._past = np.zeros((n_envs, history + 1, 7), np.float32)
        self._generators = [np.random.default_rng() for _ in range(n_envs)]
        self._actions = np.zeros((n_envs, 4))

    def observe(self) -> np.ndarray:
        """:return: The observations of all copies, float32 of shape (n_envs, 7)."""
        fingers = np.where(self.is_open, 1.0, -1.0)
        return np.column_stack([OFFSET_SCALE * (self.object - self.hand), self.hand, fingers]).astype(np.float32)

    def reset(self) -> np.ndarray:
        for i, seed in enumerate(self._seeds):
            if seed is not None:
                self._generators[i] = np.random.default_rng(seed)
            self._start(i)
        self._reset_seeds()
        observations = self.observe()
        self._past[:] = observations[:, np.newaxis]
        self.reset_infos = [self._info(i) for i in range(self.num_envs)]
        return observations

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> VecEnvStepReturn:
        actions = np.clip(self._actions, -1.0, 1.0)
        self.hand = np.clip(self.hand + STEP_LENGTH * actions[:, :3], -1.0, 1.0)
        closing = self.is_open & (actions[:, 3] <= 0.0)
        self.is_open = actions[:, 3] > 0.0
        self.steps += 1
        distance = np.linalg.norm(self.object - self.hand, axis=1)
        success = closing & (distance < GRASP_RADIUS)
        rewards = success - (DISTANCE_COST * distance if self.reward_mode == "dense" else 0.0)
        self.returns += rewards
        dones = success | (self.steps >= EPISODE_STEPS)

        observations = self.observe()
        self._past = np.roll(self._past, -1, axis=1)
        self._past[:, -1] = observations
        infos = [self._info(i) for i in range(self.num_envs)]
        for i in np.flatnonzero(dones):
            infos[i]["is_success"] = bool(success[i])
            infos[i]["TimeLimit.truncated"] = not success[i]
            infos[i]["terminal_observation"] = observations[i].copy()
            infos[i]["episode"] = {"r": float(self.returns[i]), "l": int(self.steps[i])}
            self._start(i)
        if dones.any():
            observations = self.observe()
            self._past[dones] = observations[dones, np.newaxis]
            for i in np.flatnonzero(dones):
                self.reset_infos[i] = self._info(i)
        return observations, rewards.astype(np.float32), dones, infos

    def _start(self, i: int) -> None:
        self.hand[i], self.object[i] = self._generators[i].uniform(-START_HALF_WIDTH, START_HALF_WIDTH, (2, 3))
        self.is_open[i], self.steps[i], self.returns[i] = True, 0, 0.0

    def _info(self, i: int) -> dict[str, Any]:
        view = {"state": self._past[i, -1].copy()}
        if self.history:
            view["state_past"] = self._past[i, :-1].copy()
        return {TEACHER_INFO_KEY: {"observation": view}}

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise NotImplementedError("The copies of a ReachingVecEnv have no attributes of their own.")

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError("The copies of a ReachingVecEnv have no methods of their own.")

    def env_is_wrapped(self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None) -> list[bool]:
        # It reports its episodes as a Monitor does
        from stable_baselines3.common.monitor import Monitor

        return [wrapper_class is Monitor] * len(list(self._get_indices(indices)))

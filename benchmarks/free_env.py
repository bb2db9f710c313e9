"""Environments and a teacher that cost nothing, so that a benchmark measures the student's training and nothing else."""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices

#: An end-effector action: translation, rotation, gripper.
ACTION_DIM = 7
END_EFFECTOR_SPACE = spaces.Box(-1.0, 1.0, (ACTION_DIM,), np.float32)
#: Different steps that an environment has in memory and shows again and again.
N_DIFFERENT_STEPS = 16

ArrayOrTensor = TypeVar("ArrayOrTensor", np.ndarray, th.Tensor)


def free_teacher(observations: ArrayOrTensor) -> ArrayOrTensor:
    """Answers with the first numbers of each observation, scaled into [-1, 1]."""
    return observations.reshape(len(observations), -1)[:, :ACTION_DIM] / 255


def free_teacher_for(action_space: spaces.Space[Any]) -> Callable[[np.ndarray], np.ndarray]:
    """
    :param action_space: One of Stable-Baselines3's kinds.
    :return: ``free_teacher`` for a Box; for discrete actions, one that chooses by the sign of the first numbers.
    """
    if isinstance(action_space, spaces.Box):
        return free_teacher
    if isinstance(action_space, spaces.Discrete):
        return lambda observations: (observations[:, 0] > 0.0).astype(np.int64)
    assert isinstance(action_space, spaces.MultiDiscrete | spaces.MultiBinary)
    (action_dim,) = action_space.shape
    return lambda observations: (observations[:, :action_dim] > 0.0).astype(np.int64)


class FreeVecEnv(VecEnv):
    """
    Shows observations that were drawn beforehand, whatever is done.

    The episodes of all environments end together, truncated, as those of ManiSkill do.

    :param n_envs: Number of environments.
    :param observation_space: A Box with bounds; images channels first.
    :param action_space: What may be done.
    :param episode_steps: Length of the episodes.
    :param step_seconds: How long a step of all environments together takes, spent asleep.
    """

    def __init__(
        self,
        n_envs: int,
        observation_space: spaces.Box,
        action_space: spaces.Space[Any] = END_EFFECTOR_SPACE,
        *,
        episode_steps: int = 200,
        step_seconds: float = 0.0,
    ) -> None:
        super().__init__(n_envs, observation_space, action_space)
        rng = np.random.default_rng(0)
        low, high = float(observation_space.low.min()), float(observation_space.high.max())
        drawn = rng.uniform(low, high, (N_DIFFERENT_STEPS, n_envs, *observation_space.shape))
        self._observations = drawn.astype(observation_space.dtype)
        self._rewards = rng.uniform(0.0, 1.0, (N_DIFFERENT_STEPS, n_envs)).astype(np.float32)
        self._episode_steps = episode_steps
        self.step_seconds = step_seconds
        self._steps = 0

    def reset(self) -> np.ndarray:
        self._steps = 0
        first: np.ndarray = self._observations[0]
        return first

    def step_async(self, actions: np.ndarray) -> None:
        pass

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        if self.step_seconds > 0.0:
            time.sleep(self.step_seconds)
        self._steps += 1
        index = self._steps % N_DIFFERENT_STEPS
        observations = self._observations[index]
        is_over = self._steps % self._episode_steps == 0
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if is_over:
            infos = [{"TimeLimit.truncated": True, "terminal_observation": terminal} for terminal in observations]
        # A copy, because PPO adds the values of terminal observations to it
        return observations, self._rewards[index].copy(), np.full(self.num_envs, is_over), infos

    def close(self) -> None:
        pass

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        if attr_name == "render_mode":
            return [None] * self.num_envs
        raise AttributeError(attr_name)

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        raise AttributeError(attr_name)

    def env_method(self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any) -> list[Any]:
        raise AttributeError(method_name)

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        return [False] * self.num_envs

    def get_images(self) -> Sequence[np.ndarray | None]:
        return [None] * self.num_envs

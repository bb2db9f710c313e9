"""Stable-Baselines3's ``VecEnv`` of environments that one simulator of ManiSkill3 runs together."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

from sb3_rpd.envs.maniskill3.simulation import Simulation


class ManiSkill3VecEnv(DummyVecEnv):
    """
    A ``DummyVecEnv`` whose environments step together, and are reset together where their episodes have ended.

    :param env_fns: Make the environments, in the order of the simulator's: each a ``ManiSkill3Env``, wrapped or not.
    :param simulation: The simulator.
    """

    def __init__(self, env_fns: list[Callable[[], gym.Env[Any, Any]]], simulation: Simulation) -> None:
        super().__init__(env_fns)
        self._simulation = simulation

    def reset(self) -> VecEnvObs:
        """
        Start an episode in each environment, as ``seed`` has said.

        :return: The first observations.
        """
        seeds = [seed for seed in self._seeds if seed is not None]
        self._simulation.reset(range(self.num_envs), seeds or None)
        return super().reset()

    def step_wait(self) -> VecEnvStepReturn:
        """
        Act in all environments, and start new episodes where one has ended.

        :return: As in Stable-Baselines3: observations, rewards, which episodes have ended, and an ``info`` for each
            environment. Where an episode has ended, the observation is the next one's first, and
            ``info["terminal_observation"]`` its own last.
        """
        self._simulation.step(self.actions)
        infos: list[dict[str, Any]] = []
        for i, env in enumerate(self.envs):
            observation, self.buf_rews[i], terminated, truncated, info = env.step(self.actions[i])
            self.buf_dones[i] = terminated or truncated
            info["TimeLimit.truncated"] = truncated and not terminated
            if self.buf_dones[i]:
                info["terminal_observation"] = observation
            else:
                self._save_obs(i, observation)
            infos.append(info)
        ended = np.flatnonzero(self.buf_dones)
        if len(ended):
            self._simulation.reset(ended.tolist())
        for i in ended:
            observation, self.reset_infos[i] = self.envs[i].reset()
            self._save_obs(i, observation)
        return self._obs_from_buf(), np.copy(self.buf_rews), np.copy(self.buf_dones), infos

    def close(self) -> None:
        super().close()
        self._simulation.close()

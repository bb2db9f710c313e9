"""Rollout buffers whose advantages look ahead as far as the rollout does, as those of the RPD paper's authors do."""

import numpy as np
import torch as th
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer


class FiniteHorizonRolloutBuffer(RolloutBuffer):
    """
    Advantages by finite-horizon GAE: the mean of the 1-step to h-step estimates, weighted by 1, lambda, lambda^2, ..., where h
    is the number of steps to the end of the episode or of the rollout. Plain GAE (Schulman et al., High-Dimensional Continuous
    Control Using Generalized Advantage Estimation, 2015) gives the h-step estimate all the weight that infinitely many longer
    ones would have had.

    For ``rollout_buffer_class`` of PPO, RPD and MaskablePPO; in a settings file
    ``"sb3_rpd.common.finite_horizon:FiniteHorizonRolloutBuffer"``. RPD trains on the plain path then.
    """

    def compute_returns_and_advantage(self, last_values: th.Tensor, dones: np.ndarray) -> None:
        """
        See RolloutBuffer.

        :param last_values: See RolloutBuffer.
        :param dones: See RolloutBuffer.
        """
        next_values = last_values.clone().cpu().numpy().flatten()
        goes_on = 1.0 - dones.astype(np.float32)
        # Over 1 to h steps: the sum of the weights, and the weighted sum of the estimated returns
        weights = np.zeros(self.n_envs, np.float32)
        returns = np.zeros(self.n_envs, np.float32)
        for step in reversed(range(self.buffer_size)):
            weights = 1.0 + self.gae_lambda * goes_on * weights
            returns = weights * self.rewards[step] + self.gamma * goes_on * (next_values + self.gae_lambda * returns)
            self.advantages[step] = returns / weights - self.values[step]
            next_values, goes_on = self.values[step], 1.0 - self.episode_starts[step]
        self.returns = self.advantages + self.values


class FiniteHorizonDictRolloutBuffer(FiniteHorizonRolloutBuffer, DictRolloutBuffer):
    """``FiniteHorizonRolloutBuffer`` for observations that are dicts."""

"""DAgger with SB3's parts: the student acts, the teacher labels, and all labels so far are fitted. No reward is used."""

from typing import Any

import numpy as np
import torch as th

from sb3_rpd import RPD
from sb3_rpd.common.labels import TeacherLabels


class DAgger(RPD):
    """
    Dataset aggregation (Ross, Gordon, Bagnell, https://arxiv.org/abs/1011.0686), the student acting from the start.

    Rollouts and labels are those of ``RPD``. Training makes as many gradient steps as RPD's would, on minibatches drawn from
    the states of all rollouts so far; the student's exploration noise stays what it was at the start. The critic is not
    trained.
    """

    def _setup_model(self) -> None:
        super()._setup_model()
        self._states: list[np.ndarray] = []
        self._answers: list[np.ndarray] = []
        self._choice = np.random.default_rng(self.seed)

    def train(self) -> None:
        """Fit the student to the labels of all rollouts so far, by as many gradient steps as PPO makes on one rollout."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        self._remember()
        states, answers = self._normalized(np.concatenate(self._states)), np.concatenate(self._answers)
        imitation_loss = self._build_imitation_loss()
        entries = self.n_steps * self.n_envs
        losses = []
        for _ in range(self.n_epochs * -(-entries // self.batch_size)):
            chosen = self._choice.integers(len(states), size=min(self.batch_size, entries))
            labels = TeacherLabels(
                actions=self._to_tensor(answers[chosen]), labeled=th.ones(len(chosen), dtype=th.bool, device=self.device)
            )
            distribution = self.policy.get_distribution(self._to_tensor(states[chosen]))
            loss = imitation_loss(distribution, labels, th.ones(len(chosen), device=self.device), 0.0)
            self._optimizer_step(loss)
            losses.append(loss.item())
        self._n_updates += self.n_epochs
        self.logger.record("train/imitation_loss", float(np.mean(losses)))
        self.logger.record("train/remembered", len(states))

    def _remember(self) -> None:
        buffer: Any = self.rollout_buffer
        answers = buffer.teacher_actions.reshape(-1, buffer.action_dim)
        labeled = ~np.isnan(answers).any(axis=1)
        states = buffer.observations.reshape(len(answers), -1)[labeled]
        if self._vec_normalize_env is not None:
            # They move on: what is kept is what the environment gave, by the statistics at the end of the rollout
            states = self._vec_normalize_env.unnormalize_obs(states)
        self._states.append(np.array(states))
        self._answers.append(answers[labeled].copy())

    def _normalized(self, states: np.ndarray) -> Any:
        return states if self._vec_normalize_env is None else self._vec_normalize_env.normalize_obs(states)

    def _to_tensor(self, array: np.ndarray) -> th.Tensor:
        return th.as_tensor(array, dtype=th.float32, device=self.device)

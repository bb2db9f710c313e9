"""What is made of the labels of a rollout before it is trained on, and of those of earlier ones after it."""

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.rpd.labeled_rollouts import LabeledRollouts


class LabelRefinement(LabeledRollouts):
    """``label_debiasing`` and ``label_memory`` of an algorithm with a teacher; see ``RPD``."""

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if self.label_debiasing is not None:
            self.label_debiasing.check(self.action_space, self.policy.squash_output)
        if self.label_memory is not None:
            self.label_memory.check(self.policy)

    def _begin_anew(self) -> None:
        super()._begin_anew()
        for part in (self.label_debiasing, self.label_memory):
            if part is not None:
                part.restart()

    def _refine_labels(self) -> None:
        """Remember the labels of the rollout as the teacher gave them, and correct them."""
        if self.label_memory is not None:
            self.label_memory.add(self.rollout_buffer)
        if self.label_debiasing is not None:
            self._debias_labels(self.label_debiasing)

    def _debias_labels(self, debiasing: LabelDebiasing) -> None:
        debiasing.learn_from(
            self.policy,
            self.rollout_buffer,
            progress_remaining=self._current_progress_remaining,
            success_rate=self._success_rate(),
            rewarded=None if self._reward_signal is None else self._reward_signal.rewarded(),
        )
        for name, correction in (("teacher_bias", debiasing.bias), ("teacher_gain", debiasing.gain)):
            assert correction is not None
            self.logger.record(f"train/{name}", float(np.linalg.norm(correction)))
            for dimension, value in enumerate(correction):
                self.logger.record(f"{name}/{dimension}", float(value), exclude="stdout")

    def _imitate_earlier_labels(self, imitation_loss: ImitationLoss) -> None:
        if self.label_memory is None:
            return
        losses = self.label_memory.imitate(
            self.policy,
            imitation_loss,
            imitation_coef=self._current_imitation_coef,
            success_rate=self._success_rate(),
            correct=self._corrected,
            generator=self._label_generator,
        )
        self.logger.record("train/memory_minibatches", len(losses))
        if losses:
            self.logger.record("train/memory_loss", th.stack(losses).mean().item())

    def _corrected(self, labels: np.ndarray) -> np.ndarray:
        """:return: What is to be imitated, of the same shape, where the teacher says this."""
        if self.label_debiasing is None:
            return labels
        assert isinstance(self.action_space, spaces.Box)
        return self.label_debiasing.correct(labels, self.action_space)

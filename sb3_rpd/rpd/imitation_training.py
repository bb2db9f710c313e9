"""Training on a labeled rollout: PPO's loss plus the imitation loss, one forward pass and one optimizer step for both."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch as th
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import explained_variance
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.advantages import normalized
from sb3_rpd.common.agreement import agreement
from sb3_rpd.common.buffers import TeacherLabelsMixin, TeacherRolloutBufferSamples
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.mixed_precision import features_in_bf16, has_features_to_compute
from sb3_rpd.common.ppo_loss import PolicyEvaluation, PPOLoss, PPOLossSettings, ppo_loss
from sb3_rpd.common.schedules import CoefSchedule
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.training_log import TrainingLog
from sb3_rpd.fast_path.acting import fast_acting
from sb3_rpd.fast_path.applicability import why_not_covered
from sb3_rpd.fast_path.training import FastTraining, variant
from sb3_rpd.rpd.label_refinement import LabelRefinement
from sb3_rpd.rpd.misplaced_teacher import naming_misplaced_teacher

#: The methods of a training step. A class that has one of its own trains on the plain path, which calls it.
_PIECES = ("_train_epoch", "_evaluate", "_optimizer_step", "_add_imitation_statistics", "_add_ppo_statistics")


class ImitationTraining(LabelRefinement):
    """
    The ``train()`` of PPO in pieces that can be replaced one by one, with the imitation term.

    It goes before PPO, or one of its kind, in the bases of a class. Without imitation it does what that one does, to the last
    bit. The keyword-only arguments are described in ``RPD``; all others are those of the algorithm.
    """

    batch_size: int
    n_epochs: int
    clip_range: float | Schedule
    clip_range_vf: float | Schedule | None
    normalize_advantage: bool
    target_kl: float | None
    fast: bool | None
    bf16: bool

    def __init__(
        self,
        *args: Any,
        _init_setup_model: bool = True,
        teacher: Teacher | Callable[..., Any] | BaseAlgorithm | str | None = None,
        imitation_loss: str | ImitationLoss = "auto",
        imitation_coef: float | CoefSchedule | Schedule = 1.0,
        label_every: int = 1,
        label_fraction: float = 1.0,
        label_batch_size: int = 256,
        label_asynchronously: bool = True,
        max_missing_labels: float = 0.5,
        label_debiasing: LabelDebiasing | None = None,
        label_memory: LabelMemory | None = None,
        wait_for_reward: bool = False,
        fast: bool | None = None,
        bf16: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs | {"_init_setup_model": False})
        self.teacher = teacher
        self.imitation_loss = imitation_loss
        self.imitation_coef = imitation_coef
        self.label_every = label_every
        self.label_fraction = label_fraction
        self.label_batch_size = label_batch_size
        self.label_asynchronously = label_asynchronously
        self.max_missing_labels = max_missing_labels
        self.label_debiasing = label_debiasing
        self.label_memory = label_memory
        self.wait_for_reward = wait_for_reward
        self.fast = fast
        self.bf16 = bf16

        if _init_setup_model:
            with naming_misplaced_teacher(self.learning_rate):
                self._setup_model()

    def _check_arguments(self) -> None:
        super()._check_arguments()
        if self.bf16 and not has_features_to_compute(self.policy):
            raise ValueError(
                f"bf16=True is for a features extractor with something to compute, such as CnnPolicy's; the "
                f"{type(self.policy.features_extractor).__name__} of this policy has no parameters. Leave it out."
            )
        if self.fast and (obstacle := self.why_not_fast()) is not None:
            raise ValueError(
                f"fast=True, but the fast path does not cover this model: {obstacle}. With fast=None, the default, RPD takes "
                "the fast path wherever it can."
            )

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """See ``LabeledRollouts``."""
        with fast_acting(self.policy) if self.fast is not False else nullcontext():
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)

    def train(self) -> None:
        """Update the policy by several epochs over the rollout buffer, on PPO's loss plus the imitation loss."""
        imitation_loss = self._build_imitation_loss() if self._imitates() else None
        settings = self._ppo_loss_settings()
        if imitation_loss is not None:
            self._refine_labels()
            if self._reward_signal is not None:
                settings = self._weighed_by_reward(settings, self._reward_signal.share())
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        statistics = TrainingLog()
        with features_in_bf16(self.policy) if self.bf16 else nullcontext():
            if self._takes_fast_path(settings, imitation_loss):
                self._train_fast(settings, imitation_loss, statistics)
            else:
                self._train_plain(settings, imitation_loss, statistics)
            if imitation_loss is not None:
                self._imitate_earlier_labels(imitation_loss)
        self._record_training(settings, statistics)

    def _weighed_by_reward(self, settings: PPOLossSettings, share: float) -> PPOLossSettings:
        """Weigh PPO's policy loss by way of its advantages; a minibatch that normalizes them would undo that."""
        self.logger.record("train/rewarded_share", share)
        if share == 1.0:
            return settings
        advantages = self.rollout_buffer.advantages
        if settings.normalize_advantage:
            advantages[...] = normalized(advantages)
        advantages *= share
        return replace(settings, normalize_advantage=False)

    def why_not_fast(self) -> str | None:
        """:return: What keeps this model off the fast path of training, None if nothing does."""
        for name in _PIECES:
            if getattr(type(self), name) is not getattr(ImitationTraining, name):
                return f"{type(self).__name__} has its own {name}()"
        return why_not_covered(self.policy, self.rollout_buffer, self._build_imitation_loss())

    def training_path(self) -> str:
        """:return: How iterations that imitate are trained, in a sentence: on the fast path in which variant, or why not."""
        obstacle = "fast=False" if self.fast is False else self.why_not_fast()
        return f"fast path: {self._fast_variant()}" if obstacle is None else f"plain path: {obstacle}"

    def _fast_variant(self) -> str:
        return variant(self.policy)

    def _train_plain(self, settings: PPOLossSettings, imitation_loss: ImitationLoss | None, statistics: TrainingLog) -> None:
        self._train_epochs(partial(self._train_epoch, settings, imitation_loss), statistics)

    def _train_fast(self, settings: PPOLossSettings, imitation_loss: ImitationLoss | None, statistics: TrainingLog) -> None:
        with self._fast_training(settings, imitation_loss) as fast_training:
            self._train_epochs(fast_training.train_epoch, statistics)

    def _train_epochs(self, train_epoch: Callable[[int, TrainingLog], float | None], statistics: TrainingLog) -> None:
        for epoch in range(self.n_epochs):
            statistics.restart("train/approx_kl")
            excess_kl = train_epoch(epoch, statistics)
            self._n_updates += 1
            if excess_kl is not None:
                if self.verbose >= 1:
                    print(f"Early stopping at step {epoch} due to reaching max kl: {excess_kl:.2f}")
                break

    def _ppo_loss_settings(self) -> PPOLossSettings:
        progress = self._current_progress_remaining
        assert callable(self.clip_range)
        assert self.clip_range_vf is None or callable(self.clip_range_vf)
        return PPOLossSettings(
            clip_range=self.clip_range(progress),
            clip_range_vf=None if self.clip_range_vf is None else self.clip_range_vf(progress),
            ent_coef=self.ent_coef,
            vf_coef=self.vf_coef,
            normalize_advantage=self.normalize_advantage,
        )

    def _takes_fast_path(self, settings: PPOLossSettings, imitation_loss: ImitationLoss | None) -> bool:
        # Where nothing is imitated training is PPO's to the last bit, which the fast path is not
        wanted = imitation_loss is not None if self.fast is None else self.fast
        return wanted and not settings.is_decided_by_rounding and self.why_not_fast() is None

    def _fast_training(self, settings: PPOLossSettings, imitation_loss: ImitationLoss | None) -> FastTraining:
        return FastTraining(
            self.policy,
            self.rollout_buffer,
            self.action_space,
            batch_size=self.batch_size,
            settings=settings,
            imitation_loss=imitation_loss,
            imitation_coef=self._current_imitation_coef,
            max_grad_norm=self.max_grad_norm,
            target_kl=self.target_kl,
        )

    def _imitates(self) -> bool:
        wanted = self._labeler is not None and self._current_imitation_coef > 0
        # A caller of collect_rollouts may have a buffer without labels
        return wanted and isinstance(self.rollout_buffer, TeacherLabelsMixin) and self.rollout_buffer.labeled_fraction() > 0

    def _train_epoch(
        self,
        settings: PPOLossSettings,
        imitation_loss: ImitationLoss | None,
        epoch: int,
        statistics: TrainingLog,
    ) -> float | None:
        """:return: The approximate KL divergence that ended the training early, None if none did."""
        for samples in self.rollout_buffer.get(self.batch_size):
            batch = cast(TeacherRolloutBufferSamples, samples)
            evaluation = self._evaluate(batch)
            losses = ppo_loss(batch, evaluation, settings, self._mask(batch))
            loss = losses.total
            if imitation_loss is not None:
                labels = batch.teacher_labels
                imitation = imitation_loss(evaluation.distribution, labels, losses.ratio, settings.clip_range)
                loss = loss + self._current_imitation_coef * imitation
                self._add_imitation_statistics(statistics, epoch, evaluation, labels, imitation)
            self._add_ppo_statistics(statistics, losses, loss)
            if self.target_kl is not None and losses.approx_kl > 1.5 * self.target_kl:
                return losses.approx_kl.item()
            self._optimizer_step(loss)
        return None

    def _evaluate(self, batch: TeacherRolloutBufferSamples) -> PolicyEvaluation:
        """One forward pass, for PPO's loss and for the imitation loss alike."""
        actions = batch.actions
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, actions, **self._policy_inputs(batch))
        # The policy owns one distribution object; right after the pass it holds that pass's distribution
        return PolicyEvaluation(values, log_prob, entropy, self.policy.action_dist)

    def _policy_inputs(self, batch: TeacherRolloutBufferSamples) -> dict[str, Any]:
        """What ``evaluate_actions`` of the algorithm's own policies takes beside observations and actions."""
        return {}

    def _mask(self, batch: TeacherRolloutBufferSamples) -> th.Tensor | None:
        """Which rows are entries and no padding, booleans of shape (batch,); None where all are."""
        return None

    def _optimizer_step(self, loss: th.Tensor) -> None:
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()

    def _add_imitation_statistics(
        self,
        statistics: TrainingLog,
        epoch: int,
        evaluation: PolicyEvaluation,
        labels: TeacherLabels,
        imitation: th.Tensor,
    ) -> None:
        # A minibatch without any label has a loss and an agreement of zero that say nothing
        if labels.labeled.any():
            statistics.add("train/imitation_loss", imitation)
            if epoch == 0:
                statistics.add("train/agreement", agreement(evaluation.distribution, labels, self.action_space))

    @staticmethod
    def _add_ppo_statistics(statistics: TrainingLog, losses: PPOLoss, loss: th.Tensor) -> None:
        statistics.add("train/entropy_loss", losses.entropy)
        statistics.add("train/policy_gradient_loss", losses.policy)
        statistics.add("train/value_loss", losses.value)
        statistics.add("train/clip_fraction", losses.clip_fraction)
        statistics.add("train/approx_kl", losses.approx_kl)
        statistics.restart("train/loss")
        statistics.add("train/loss", loss)

    def _record_training(self, settings: PPOLossSettings, statistics: TrainingLog) -> None:
        for name, mean in statistics.means().items():
            self.logger.record(name, mean)
        variance = explained_variance(self.rollout_buffer.values.flatten(), self.rollout_buffer.returns.flatten())
        self.logger.record("train/explained_variance", variance)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", th.exp(self.policy.log_std).mean().item())
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", settings.clip_range)
        if settings.clip_range_vf is not None:
            self.logger.record("train/clip_range_vf", settings.clip_range_vf)
        if self._labeler is not None:
            self.logger.record("train/imitation_coef", self._current_imitation_coef)

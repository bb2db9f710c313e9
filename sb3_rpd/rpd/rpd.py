"""Refined Policy Distillation: PPO with a teacher-imitation term."""

import io
import pathlib
import warnings
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule
from stable_baselines3.common.utils import explained_variance, safe_mean
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.archive import pack, unpack
from sb3_rpd.common.buffers import TeacherLabelsMixin, TeacherRolloutBufferSamples, with_teacher_labels
from sb3_rpd.common.callbacks import LabellingCallback
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.label_choice import LabelChoice
from sb3_rpd.common.labeling import Labeler, LabelStatistics, RolloutLabelling
from sb3_rpd.common.losses import ImitationLoss, TeacherLabels, agreement, make_imitation_loss
from sb3_rpd.common.ppo_loss import PolicyEvaluation, PPOLoss, PPOLossSettings, ppo_loss
from sb3_rpd.common.schedules import CoefSchedule, TrainingProgress, make_coef_schedule
from sb3_rpd.common.teacher_inputs import TeacherInputTracker, teacher_inputs_after_reset
from sb3_rpd.common.training_statistics import TrainingStatistics
from sb3_rpd.teachers.base import Teacher
from sb3_rpd.teachers.resolve import make_teacher

SelfRPD = TypeVar("SelfRPD", bound="RPD")

#: What of RPD is saved in the archive's ``rpd_state``, where a plain PPO that loads the student does not look.
_PACKED_ATTRIBUTES = ("imitation_loss", "imitation_coef", "_label_generator")


class RPD(PPO):
    """
    Refined Policy Distillation (RPD)

    PPO whose loss has a teacher-imitation term on the same minibatch, ``loss = ppo_loss + imitation_coef * imitation_loss``
    (Jülg, Burgard, Walter: Refined Policy Distillation, https://arxiv.org/abs/2503.05833). The teacher is asked once for
    each rollout-buffer entry, on the states that the student visits.

    All arguments of ``stable_baselines3.PPO`` come first, in its order and with its meaning. What is RPD's own is
    keyword-only. Without a teacher, or with a coefficient of 0, training is PPO's to the last bit.

    :param policy: The policy model to use (MlpPolicy, CnnPolicy, MultiInputPolicy).
    :param env: The environment to learn from. To give the teacher a view of its own (raw frames, an instruction), wrap
        each environment in a ``TeacherActionWrapper``; without it the teacher sees the student's own observation,
        un-normalised and with images channels last.
    :param learning_rate: See PPO.
    :param n_steps: See PPO.
    :param batch_size: See PPO.
    :param n_epochs: See PPO.
    :param gamma: See PPO.
    :param gae_lambda: See PPO.
    :param clip_range: See PPO.
    :param clip_range_vf: See PPO.
    :param normalize_advantage: See PPO.
    :param ent_coef: See PPO.
    :param vf_coef: See PPO.
    :param max_grad_norm: See PPO. The gradient that is clipped is that of both terms together.
    :param use_sde: See PPO.
    :param sde_sample_freq: See PPO.
    :param rollout_buffer_class: See PPO. Labels are added to any class given here.
    :param rollout_buffer_kwargs: See PPO.
    :param target_kl: See PPO. Note that ending the epochs early also ends the imitation early.
    :param stats_window_size: See PPO.
    :param tensorboard_log: See PPO.
    :param policy_kwargs: See PPO.
    :param verbose: See PPO.
    :param seed: See PPO. It also seeds the choice of ``label_fraction``.
    :param device: See PPO.
    :param _init_setup_model: See PPO.
    :param teacher: Whom to imitate: a ``Teacher``, a callable from a batch of observations to a batch of actions, an SB3
        model, or a string ``"package.module:factory"`` that names a callable without arguments which returns one of these.
        A plain attribute, which may also be set later or given to ``load``. It is not saved with the student.
    :param imitation_loss: An ``ImitationLoss``, or one of "mse", "l1", "huber", "nll" (or "bc"), "kl", "cosine". "auto" is
        the paper's "mse" for Box action spaces and "nll" for all others.
    :param imitation_coef: Weight of the imitation loss: a number, an SB3 schedule (a callable of the progress remaining,
        from 1 to 0) or a ``CoefSchedule``. It is fixed once an iteration; a rollout that begins at 0 is not labelled.
    :param label_every: Ask the teacher about each environment at every k-th step only.
    :param label_fraction: Ask the teacher about this fraction of the entries only, chosen at random.
    :param label_batch_size: How many entries, over environments and time, the teacher is asked about at once.
    :param label_asynchronously: Ask in a background thread while the environments run. The labels are the same either way.
    :param max_missing_labels: Over a rollout, the largest share of labels asked for that may be missing (the teacher
        failed, or answered with NaN or outside the action space). Beyond it the model is saved and training stops.
    """

    rollout_buffer: TeacherLabelsMixin

    def __init__(
        self,
        policy: str | type[ActorCriticPolicy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 3e-4,
        n_steps: int = 2048,
        batch_size: int = 64,
        n_epochs: int = 10,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float | Schedule = 0.2,
        clip_range_vf: float | Schedule | None = None,
        normalize_advantage: bool = True,
        ent_coef: float = 0.0,
        vf_coef: float = 0.5,
        max_grad_norm: float = 0.5,
        use_sde: bool = False,
        sde_sample_freq: int = -1,
        rollout_buffer_class: type[RolloutBuffer] | None = None,
        rollout_buffer_kwargs: dict[str, Any] | None = None,
        target_kl: float | None = None,
        stats_window_size: int = 100,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
        *,
        teacher: Teacher | Callable[..., Any] | Any | str | None = None,
        imitation_loss: str | ImitationLoss = "auto",
        imitation_coef: float | CoefSchedule | Schedule = 1.0,
        label_every: int = 1,
        label_fraction: float = 1.0,
        label_batch_size: int = 256,
        label_asynchronously: bool = True,
        max_missing_labels: float = 0.5,
    ) -> None:
        super().__init__(
            policy,
            env,
            learning_rate=learning_rate,
            n_steps=n_steps,
            batch_size=batch_size,
            n_epochs=n_epochs,
            gamma=gamma,
            gae_lambda=gae_lambda,
            clip_range=clip_range,
            clip_range_vf=clip_range_vf,
            normalize_advantage=normalize_advantage,
            ent_coef=ent_coef,
            vf_coef=vf_coef,
            max_grad_norm=max_grad_norm,
            use_sde=use_sde,
            sde_sample_freq=sde_sample_freq,
            rollout_buffer_class=rollout_buffer_class,
            rollout_buffer_kwargs=rollout_buffer_kwargs,
            target_kl=target_kl,
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            policy_kwargs=policy_kwargs,
            verbose=verbose,
            seed=seed,
            device=device,
            _init_setup_model=False,
        )
        self.teacher = teacher
        self.imitation_loss = imitation_loss
        self.imitation_coef = imitation_coef
        self.label_every = label_every
        self.label_fraction = label_fraction
        self.label_batch_size = label_batch_size
        self.label_asynchronously = label_asynchronously
        self.max_missing_labels = max_missing_labels
        self._label_generator = np.random.default_rng(seed)
        self._current_imitation_coef = 0.0
        self._labeler: Labeler | None = None
        self._labeler_teacher: Any = None
        self._teacher_inputs = TeacherInputTracker()
        self._has_said_plain_ppo = False

        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        buffer_class = self.rollout_buffer_class
        if buffer_class is None:
            buffer_class = DictRolloutBuffer if isinstance(self.observation_space, spaces.Dict) else RolloutBuffer
        self.rollout_buffer_class = with_teacher_labels(buffer_class)
        super()._setup_model()
        # SB3 saves the class by reference, and the archive must load where this package is not installed
        self.rollout_buffer_class = buffer_class
        self._check_arguments()

    def _check_arguments(self) -> None:
        if self.label_batch_size < 1:
            raise ValueError(f"label_batch_size must be at least 1; it is {self.label_batch_size!r}.")
        if not 0.0 <= self.max_missing_labels <= 1.0:
            raise ValueError(f"max_missing_labels is a share and must be in [0, 1]; it is {self.max_missing_labels!r}.")
        LabelChoice(self.label_every, self.label_fraction, self._label_generator)
        make_coef_schedule(self.imitation_coef)
        make_imitation_loss(self.imitation_loss, self.action_space, self.policy.squash_output)

    # ---------------------------------------------------------------- learning

    def learn(
        self: SelfRPD,
        total_timesteps: int = 1_000_000,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "RPD",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfRPD:
        """
        Train the student. Without a teacher this is PPO, which is said once.

        :param total_timesteps: Environment steps to train for, a million unless told otherwise.
        :param callback: See PPO.
        :param log_interval: See PPO.
        :param tb_log_name: See PPO.
        :param reset_num_timesteps: See PPO.
        :param progress_bar: See PPO.
        :return: The trained model.
        :raises TeacherError: if the teacher does not fit the environment, or too many of its labels are missing.
        """
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        self._check_arguments()
        self._prepare_labeler()
        # SB3's condition for a reset; some VecEnvs reset into the memory of the observation that they returned last
        is_reset = reset_num_timesteps or self._last_obs is None
        prepared = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        # SB3 does so after the first rollout, but the imitation coefficient is fixed before it
        self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        if self._labeler is not None and is_reset:
            assert self.env is not None
            assert self._last_obs is not None
            self._teacher_inputs.keep(self._last_obs, teacher_inputs_after_reset(self.env, self._last_obs))
        return prepared

    def _prepare_labeler(self) -> None:
        if self.teacher is None:
            self._labeler = None
            if not self._has_said_plain_ppo:
                self._has_said_plain_ppo = True
                warnings.warn(
                    "RPD has no teacher and trains as PPO. Give it one: RPD(..., teacher=...), RPD.load(..., teacher=...) or "
                    "model.teacher = ...",
                    stacklevel=4,
                )
        elif self._labeler is None or self._labeler_teacher is not self.teacher:
            teacher = make_teacher(self.teacher)
            self._labeler = Labeler(teacher, self.action_space, self._to_policy_units)
            self._labeler_teacher = self.teacher
        if self._labeler is not None:
            self._check_teacher_gives_enough(self._labeler.teacher)

    def _check_teacher_gives_enough(self, teacher: Teacher) -> None:
        if self._build_imitation_loss().needs_distribution and not teacher.gives_distribution:
            raise TeacherError(
                f"imitation_loss={self.imitation_loss!r} compares distributions, but {teacher!r} gives actions only. Use "
                '"mse" (Box) or "nll", or a teacher whose predict() returns a TeacherOutput with std or logits.'
            )

    def _to_policy_units(self, actions: np.ndarray) -> np.ndarray:
        if not self.policy.squash_output:
            return actions
        assert isinstance(self.action_space, spaces.Box)
        shaped = actions.reshape(-1, *self.action_space.shape)
        return self.policy.scale_action(shaped).reshape(actions.shape)

    def _build_imitation_loss(self) -> ImitationLoss:
        return make_imitation_loss(self.imitation_loss, self.action_space, self.policy.squash_output)

    # ---------------------------------------------------------------- rollouts

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        """
        SB3's own ``collect_rollouts``, with a label from the teacher for each entry when it returns.

        :param env: See PPO.
        :param callback: See PPO.
        :param rollout_buffer: See PPO. A buffer without room for labels is filled without them.
        :param n_rollout_steps: See PPO.
        :return: See PPO.
        :raises TeacherError: see ``learn``.
        """
        self._current_imitation_coef = make_coef_schedule(self.imitation_coef)(self._training_progress())
        if self._labeler is None or not isinstance(rollout_buffer, TeacherLabelsMixin):
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)

        choice = LabelChoice(self.label_every, self.label_fraction, self._label_generator)
        with RolloutLabelling(
            self._labeler, rollout_buffer, batch_size=self.label_batch_size, asynchronous=self.label_asynchronously
        ) as labelling:
            wanted = labelling if self._current_imitation_coef > 0 else None
            labelling_callback = LabellingCallback(callback, self._teacher_inputs, wanted, choice)
            if not super().collect_rollouts(env, labelling_callback, rollout_buffer, n_rollout_steps):
                return False
            self._take_stock(labelling.join(), rollout_buffer)
        return True

    def _training_progress(self) -> TrainingProgress:
        success_rate = safe_mean(self.ep_success_buffer) if self.ep_success_buffer else None
        mean_return = safe_mean([episode["r"] for episode in self.ep_info_buffer]) if self.ep_info_buffer else None
        return TrainingProgress(self._current_progress_remaining, self.num_timesteps, success_rate, mean_return)

    def _take_stock(self, statistics: LabelStatistics, rollout_buffer: TeacherLabelsMixin) -> None:
        n_entries = rollout_buffer.buffer_size * rollout_buffer.n_envs
        self.logger.record("teacher/seconds", statistics.seconds)
        self.logger.record("teacher/queries_per_state", statistics.asked / n_entries)
        self.logger.record("teacher/missing", statistics.missing)
        self.logger.record("train/labelled", rollout_buffer.labelled_fraction())
        if statistics.missing_share > self.max_missing_labels:
            folder = pathlib.Path(self.tensorboard_log or ".")
            path = folder / f"rpd_stopped_at_{self.num_timesteps}_steps.zip"
            self.save(path)
            raise TeacherError(
                f"{statistics.missing} of {statistics.asked} labels of this rollout are missing, more than "
                f"max_missing_labels={self.max_missing_labels:.0%}: {statistics.complaint}. The model is saved; mend the "
                f'teacher and go on with RPD.load("{path}", env=env, teacher=teacher).learn(..., reset_num_timesteps=False).'
            )

    # ---------------------------------------------------------------- training

    def train(self) -> None:
        """Update the policy by several epochs over the rollout buffer, on PPO's loss plus the imitation loss."""
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        settings = self._ppo_loss_settings()
        imitation_loss = self._build_imitation_loss() if self._imitates() else None
        statistics = TrainingStatistics()
        for epoch in range(self.n_epochs):
            statistics.restart("train/approx_kl")
            completed = self._train_epoch(epoch, settings, imitation_loss, statistics)
            self._n_updates += 1
            if not completed:
                break
        self._record_training(settings, statistics)

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

    def _imitates(self) -> bool:
        return self._labeler is not None and self._current_imitation_coef > 0

    def _train_epoch(
        self,
        epoch: int,
        settings: PPOLossSettings,
        imitation_loss: ImitationLoss | None,
        statistics: TrainingStatistics,
    ) -> bool:
        """:return: False if ``target_kl`` ended the training early."""
        for samples in self.rollout_buffer.get(self.batch_size):
            batch = cast(TeacherRolloutBufferSamples, samples)
            evaluation = self._evaluate(batch)
            losses = ppo_loss(batch, evaluation, settings)
            loss = losses.total
            if imitation_loss is not None:
                labels = batch.teacher_labels
                imitation = imitation_loss(evaluation.distribution, labels, losses.ratio, settings.clip_range)
                loss = loss + self._current_imitation_coef * imitation
                self._add_imitation_statistics(statistics, epoch, evaluation, labels, imitation)
            self._add_ppo_statistics(statistics, losses, loss)
            if self.target_kl is not None and losses.approx_kl > 1.5 * self.target_kl:
                if self.verbose >= 1:
                    print(f"Early stopping at step {epoch} due to reaching max kl: {losses.approx_kl:.2f}")
                return False
            self._optimizer_step(loss)
        return True

    def _evaluate(self, batch: TeacherRolloutBufferSamples) -> PolicyEvaluation:
        """One forward pass, for PPO's loss and for the imitation loss alike."""
        actions = batch.actions
        if isinstance(self.action_space, spaces.Discrete):
            actions = actions.long().flatten()
        values, log_prob, entropy = self.policy.evaluate_actions(batch.observations, actions)
        # The policy owns one distribution object; right after the pass it holds that pass's distribution
        return PolicyEvaluation(values, log_prob, entropy, self.policy.action_dist)

    def _optimizer_step(self, loss: th.Tensor) -> None:
        self.policy.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        th.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.policy.optimizer.step()

    def _add_imitation_statistics(
        self,
        statistics: TrainingStatistics,
        epoch: int,
        evaluation: PolicyEvaluation,
        labels: TeacherLabels,
        imitation: th.Tensor,
    ) -> None:
        # A minibatch without any label has a loss of zero that says nothing
        if labels.labelled.any():
            statistics.add("train/imitation_loss", imitation)
        if epoch == 0:
            agreed = agreement(evaluation.distribution, labels, self.action_space)
            if agreed is not None:
                statistics.add("train/agreement", agreed)

    @staticmethod
    def _add_ppo_statistics(statistics: TrainingStatistics, losses: PPOLoss, loss: th.Tensor) -> None:
        statistics.add("train/entropy_loss", losses.entropy)
        statistics.add("train/policy_gradient_loss", losses.policy)
        statistics.add("train/value_loss", losses.value)
        statistics.add("train/clip_fraction", losses.clip_fraction)
        statistics.add("train/approx_kl", losses.approx_kl)
        statistics.restart("train/loss")
        statistics.add("train/loss", loss)

    def _record_training(self, settings: PPOLossSettings, statistics: TrainingStatistics) -> None:
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

    # ---------------------------------------------------------------- saving

    def _excluded_save_params(self) -> list[str]:
        of_this_process = ["teacher", "_labeler", "_labeler_teacher", "_teacher_inputs", "_has_said_plain_ppo"]
        return [*super()._excluded_save_params(), *of_this_process, *_PACKED_ATTRIBUTES]

    def save(
        self,
        path: str | pathlib.Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """
        Save the student, not the teacher. The archive is also one of PPO's: ``stable_baselines3.PPO.load`` reads it where
        this package is not installed.

        :param path: See PPO.
        :param exclude: See PPO.
        :param include: See PPO.
        """
        self.rpd_state = {name: pack(getattr(self, name)) for name in _PACKED_ATTRIBUTES}
        super().save(path, exclude, include)

    @classmethod
    def load(
        cls: type[SelfRPD],
        path: str | pathlib.Path | io.BufferedIOBase,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfRPD:
        """
        Load a student saved by RPD, or by PPO. To train on, give it a teacher again.

        :param path: See PPO.
        :param env: See PPO.
        :param device: See PPO.
        :param custom_objects: See PPO.
        :param print_system_info: See PPO.
        :param force_reset: See PPO. With False the first step after loading has no labels.
        :param kwargs: Attributes to set on the loaded model, such as ``teacher`` or ``imitation_coef``.
        :return: The model.
        """
        model = super().load(path, env, device, custom_objects, print_system_info, force_reset, **kwargs)
        for name, packed in getattr(model, "rpd_state", {}).items():
            if name not in kwargs:
                setattr(model, name, unpack(packed))
        return model

"""Refined Policy Distillation: PPO with a teacher-imitation term."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, Schedule

from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.schedules import CoefSchedule
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.rpd.imitation_training import ImitationTraining

SelfRPD = TypeVar("SelfRPD", bound="RPD")


class RPD(ImitationTraining, PPO):
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
        un-normalized and with images channels last.
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
        from 1 to 0) or a ``CoefSchedule``. It is fixed once an iteration; a rollout that begins at 0 is not labeled.
    :param label_every: Ask the teacher about each environment at every k-th step only.
    :param label_fraction: Ask the teacher about this fraction of the entries only, chosen at random.
    :param label_batch_size: How many entries, over environments and time, the teacher is asked about at once.
    :param label_asynchronously: Ask in a background thread while the environments run, unless the teacher was so quick in the
        last rollout that a thread takes longer than it. The labels are the same either way.
    :param max_missing_labels: Over a rollout, the largest share of labels asked for that may be missing (the teacher
        failed, or answered with NaN or outside the action space). Beyond it the model is saved and training stops.
    :param label_debiasing: Finds from the reward by what the teacher's actions are moved and scaled, and takes it out of the
        labels (Box actions): a ``LabelDebiasing``. None, the default, takes the labels as they are, as the paper does.
    :param label_memory: Has the student imitate the labels of earlier rollouts, too: a ``LabelMemory``. None, the default, for
        those of the last rollout only, as in the paper.
    :param wait_for_reward: Whether PPO's policy loss counts only as much as the share of a rollout's episodes in which there
        was a reward to go by (``sb3_rpd.common.reward_signal.RewardSignal``), and ``label_debiasing`` learns from these
        episodes alone. Before the first success under a sparse reward advantages are the errors of the value function
        alone, and ``normalize_advantage`` makes them as large as any. Under a dense reward nothing changes. Imitation and
        value function are trained all the same. False, the default, is PPO's way and the paper's.
    :param fast: Whether to train on the fast path: the same numbers up to rounding, in a fraction of the time. None takes it
        in iterations that imitate, where it covers the model, and otherwise the plain path, which is PPO to the last bit.
        True takes it also where nothing is imitated, and is an error where it does not cover the model; False never
        takes it. ``why_not_fast()`` tells what keeps a model off it, ``training_path()`` which variant of it is taken. An
        update whose clip range is 0 takes the plain path.
    :param bf16: Compute the features of the observations in bfloat16 in training: for convolutional students, on a GPU or
        a CPU with instructions for it. Their parameters stay float32.
    """

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
            _init_setup_model=_init_setup_model,
            teacher=teacher,
            imitation_loss=imitation_loss,
            imitation_coef=imitation_coef,
            label_every=label_every,
            label_fraction=label_fraction,
            label_batch_size=label_batch_size,
            label_asynchronously=label_asynchronously,
            max_missing_labels=max_missing_labels,
            label_debiasing=label_debiasing,
            label_memory=label_memory,
            wait_for_reward=wait_for_reward,
            fast=fast,
            bf16=bf16,
        )

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

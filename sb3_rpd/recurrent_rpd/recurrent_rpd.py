"""RecurrentRPD: RecurrentPPO with a teacher-imitation term."""

from typing import Any, TypeVar

import torch as th
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_contrib.common.recurrent.policies import RecurrentActorCriticPolicy
from stable_baselines3.common.type_aliases import MaybeCallback

from sb3_rpd.common.buffer_check import is_of_a_library
from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.ppo_loss import PolicyEvaluation, PPOLossSettings
from sb3_rpd.common.training_log import TrainingLog
from sb3_rpd.recurrent_rpd.buffers import PaddedLabelsMixin
from sb3_rpd.recurrent_rpd.sequences import whole_sequences, why_not_whole
from sb3_rpd.rpd.imitation_training import ImitationTraining
from sb3_rpd.rpd.signatures import with_arguments_of

SelfRecurrentRPD = TypeVar("SelfRecurrentRPD", bound="RecurrentRPD")


class RecurrentRPD(ImitationTraining, RecurrentPPO):  # type: ignore[misc]
    """
    Refined Policy Distillation for a student with a memory

    sb3-contrib's ``RecurrentPPO`` with the imitation term of ``RPD``: for environments in which a single observation does not
    tell what to do. The teacher has no memory and needs none where its view of the environment, a ``TeacherActionWrapper``'s,
    has what the student's lacks.

    All arguments of ``sb3_contrib.RecurrentPPO`` come first, in its order and with its meaning; the keyword-only ones are
    those of ``RPD``. Without a teacher, or with a coefficient of 0, training is RecurrentPPO's to the last bit. What is saved
    loads with plain ``RecurrentPPO``.

    :param args: See RecurrentPPO.
    :param kwargs: See RecurrentPPO, and ``RPD`` for ``teacher`` and what comes after it.
    """

    policy: RecurrentActorCriticPolicy
    _labels_mixin = PaddedLabelsMixin

    @with_arguments_of(RecurrentPPO)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def learn(
        self: SelfRecurrentRPD,
        total_timesteps: int = 1_000_000,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "RecurrentRPD",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfRecurrentRPD:
        """
        Train the student; see ``RPD.learn``.

        :param total_timesteps: Environment steps to train for, a million unless told otherwise.
        :param callback: See RecurrentPPO.
        :param log_interval: See RecurrentPPO.
        :param tb_log_name: See RecurrentPPO.
        :param reset_num_timesteps: See RecurrentPPO.
        :param progress_bar: See RecurrentPPO.
        :return: The trained model.
        :raises TeacherError: if the teacher does not fit the environment, or too many of its labels are missing.
        """
        return super().learn(total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar)

    def why_not_fast(self) -> str | None:
        """
        The fast path of a recurrent student puts whole sequences through the LSTM in one call.

        :return: What keeps this model off the fast path of training, None if nothing does.
        """
        return why_not_whole(self.policy)

    def _fast_variant(self) -> str:
        return "whole sequences through the LSTM"

    def _train_fast(self, settings: PPOLossSettings, imitation_loss: ImitationLoss | None, statistics: TrainingLog) -> None:
        with whole_sequences(self.policy):
            self._train_plain(settings, imitation_loss, statistics)

    def _check_buffer(self, rollout_buffer: TeacherLabelsMixin) -> None:
        if not is_of_a_library(rollout_buffer):
            name = type(rollout_buffer).__name__.removeprefix("Teacher")
            raise TeacherError(
                f"RecurrentRPD keeps its labels in the rollout buffers of sb3-contrib, and {name} is none of them: leave "
                "model.rollout_buffer as it is, or take imitation_coef=0.0."
            )

    def _evaluate(self, batch: Any) -> PolicyEvaluation:
        if isinstance(self.action_space, spaces.MultiBinary):
            # The buffer has integers, at which PyTorch raises an error: so it does under RecurrentPPO
            batch = batch._replace(actions=batch.actions.float())
        return super()._evaluate(batch)

    def _policy_inputs(self, batch: Any) -> dict[str, Any]:
        return {"lstm_states": batch.lstm_states, "episode_starts": batch.episode_starts}

    def _mask(self, batch: Any) -> th.Tensor:
        is_entry: th.Tensor = batch.mask > 1e-8
        return is_entry

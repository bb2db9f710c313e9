"""MaskableRPD: MaskablePPO with a teacher-imitation term."""

from collections.abc import Mapping
from typing import Any, TypeVar

from sb3_contrib import MaskablePPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.maskable_rpd.buffers import AllowedLabelsMixin
from sb3_rpd.rpd.imitation_training import ImitationTraining
from sb3_rpd.rpd.signatures import with_arguments_of
from sb3_rpd.teachers.action_masks import with_action_mask

SelfMaskableRPD = TypeVar("SelfMaskableRPD", bound="MaskableRPD")


class MaskableRPD(ImitationTraining, MaskablePPO):  # type: ignore[misc]
    """
    Refined Policy Distillation where some actions are forbidden

    sb3-contrib's ``MaskablePPO`` with the imitation term of ``RPD``. A label that the environment's action mask forbids in its
    entry's state counts as missing. A teacher that takes action masks (``Teacher.takes_action_masks``; a ``MaskablePPO`` does)
    is given those of the environment, unless that offers it some of its own.

    All arguments of ``sb3_contrib.MaskablePPO`` come first, in its order and with its meaning; the keyword-only ones are
    those of ``RPD``. Without a teacher, or with a coefficient of 0, training is MaskablePPO's to the last bit. What is saved
    loads with plain ``MaskablePPO``.

    :param args: See MaskablePPO.
    :param kwargs: See MaskablePPO, and ``RPD`` for ``teacher`` and what comes after it.
    """

    _labels_mixin = AllowedLabelsMixin
    #: Whether the present rollout is collected with masks.
    _use_masking: bool = True

    @with_arguments_of(MaskablePPO)
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)

    def learn(  # type: ignore[override]
        self: SelfMaskableRPD,
        total_timesteps: int = 1_000_000,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "MaskableRPD",
        reset_num_timesteps: bool = True,
        use_masking: bool = True,
        progress_bar: bool = False,
    ) -> SelfMaskableRPD:
        """
        Train the student; see ``RPD.learn``.

        :param total_timesteps: Environment steps to train for, a million unless told otherwise.
        :param callback: See MaskablePPO.
        :param log_interval: See MaskablePPO.
        :param tb_log_name: See MaskablePPO.
        :param reset_num_timesteps: See MaskablePPO.
        :param use_masking: See MaskablePPO. Without it no label is forbidden, and no teacher is given masks.
        :param progress_bar: See MaskablePPO.
        :return: The trained model.
        :raises TeacherError: if the teacher does not fit the environment, or too many of its labels are missing.
        """
        return super().learn(
            total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, use_masking, progress_bar
        )

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
        use_masking: bool = True,
    ) -> bool:
        """
        MaskablePPO's own ``collect_rollouts``, with a label from the teacher for each entry when it returns.

        :param env: See MaskablePPO.
        :param callback: See MaskablePPO.
        :param rollout_buffer: See MaskablePPO.
        :param n_rollout_steps: See MaskablePPO.
        :param use_masking: See MaskablePPO.
        :return: See MaskablePPO.
        :raises TeacherError: if the teacher does not fit the environment, or too many of its labels are missing.
        """
        self._use_masking = use_masking
        return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)

    def _collect(self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int) -> bool:
        return MaskablePPO.collect_rollouts(self, env, callback, rollout_buffer, n_rollout_steps, self._use_masking)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "_use_masking"]

    def _add_to_view(self, inputs: list[TeacherInfo], stored: Mapping[str, Any]) -> list[TeacherInfo]:
        masks = stored["action_masks"]
        teacher = None if self._labeler is None else self._labeler.teacher
        if masks is None or teacher is None or not teacher.takes_action_masks:
            return inputs
        by_env = masks.reshape(len(inputs), -1)
        return [with_action_mask(info, mask) for info, mask in zip(inputs, by_env, strict=True)]

    def _policy_inputs(self, batch: Any) -> dict[str, Any]:
        return {"action_masks": batch.action_masks}

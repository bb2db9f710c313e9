"""What an on-policy algorithm needs to have its rollouts labeled by a teacher."""

import pathlib
import sys
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeGuard

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.asking import check_offer
from sb3_rpd.common.buffer_check import check_labels_follow
from sb3_rpd.common.buffers import TeacherLabelsMixin, give_room_for_labels
from sb3_rpd.common.callbacks import CollectingGuard, LabelingCallback
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.input_tracker import TeacherInputTracker, View, copied
from sb3_rpd.common.label_choice import LabelChoice
from sb3_rpd.common.label_statistics import LabelStatistics
from sb3_rpd.common.labeling import Labeler
from sb3_rpd.common.loss_names import make_imitation_loss
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.misleading_reward import MisleadingRewardWatch
from sb3_rpd.common.reward_signal import RewardSignal
from sb3_rpd.common.rollout_labeling import RolloutLabeling
from sb3_rpd.common.schedules import ConstantCoef, make_coef_schedule
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.teacher_inputs import TeacherInputReader
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wording import cut
from sb3_rpd.common.wrappers import UNREAD
from sb3_rpd.rpd.student_archive import StudentArchive
from sb3_rpd.teachers.resolve import make_teacher

#: The packages in which a student's classes are, or their ancestors.
_OURS, _LIBRARIES = __name__.partition(".")[0], ("stable_baselines3", "sb3_contrib")


class LabeledRollouts(StudentArchive):
    """
    Goes before an on-policy algorithm in the bases of a class, whose constructor sets the attributes described in ``RPD``.

    The algorithm's own ``collect_rollouts`` collects; a callback takes the entries to the teacher on the way.
    """

    teacher: Teacher | Callable[..., Any] | BaseAlgorithm | str | None
    label_every: int
    label_fraction: float
    label_batch_size: int
    label_asynchronously: bool
    max_missing_labels: float
    wait_for_reward: bool

    rollout_buffer: TeacherLabelsMixin

    #: What makes the algorithm's rollout buffer one with labels.
    _labels_mixin: ClassVar[type[TeacherLabelsMixin]] = TeacherLabelsMixin

    _labeler: Labeler | None = None
    #: The ``teacher`` for which the labeler was made.
    _labeler_teacher: Any = None
    #: Whether it answered in no time when it was last asked. It is asked in place then: the labels are the same.
    _teacher_is_quick: bool = False
    _has_said_plain_ppo: bool = False
    _is_reset_by_learn: bool = False
    _is_collecting: bool = False
    #: The last buffer that was found to keep labels and entries together.
    _checked_buffer: RolloutBuffer | None = None
    _reward_watch: MisleadingRewardWatch | None = None
    #: The rewards of the last labeled rollout; None where they are not looked at.
    _reward_signal: RewardSignal | None = None

    def _setup_model(self) -> None:
        super()._setup_model()
        # Not by way of rollout_buffer_class, which RecurrentPPO lacks and the others save by reference: the archive must load
        # where this package is not installed
        give_room_for_labels(self.rollout_buffer, self._labels_mixin)
        self.rollout_buffer.reset()
        self._label_generator = np.random.default_rng(self.seed)
        self._tracker = TeacherInputTracker()
        self._check_arguments()

    def _check_arguments(self) -> None:
        if self.label_batch_size < 1:
            raise ValueError(f"label_batch_size must be at least 1; it is {self.label_batch_size!r}.")
        if not 0.0 <= self.max_missing_labels <= 1.0:
            raise ValueError(f"max_missing_labels is a share and must be in [0, 1]; it is {self.max_missing_labels!r}.")
        self._label_choice()
        make_coef_schedule(self.imitation_coef)
        self._build_imitation_loss()

    def _label_choice(self) -> LabelChoice:
        return LabelChoice(self.label_every, self.label_fraction, self._label_generator)

    def _build_imitation_loss(self) -> ImitationLoss:
        return make_imitation_loss(self.imitation_loss, self.action_space, self.policy.squash_output)

    # ---------------------------------------------------------------- learning

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        self._check_arguments()
        if reset_num_timesteps:
            self._begin_anew()
        if reset_num_timesteps or self._reward_watch is None:
            self._reward_watch = MisleadingRewardWatch()
        # SB3's condition
        self._is_reset_by_learn = reset_num_timesteps or self._last_obs is None
        prepared = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        if self.num_timesteps < self._total_timesteps:
            # SB3 does so after the first rollout, but the imitation coefficient is fixed before it
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
        return prepared

    def _begin_anew(self) -> None:
        """Forget what an earlier training has learned of teacher and student, beside the student itself."""
        self._restart_imitation_coef()

    def _init_callback(self, callback: MaybeCallback, progress_bar: bool = False) -> BaseCallback:
        # What the reset has shown is read before the caller's callback, which may reset again, comes into play
        assert self.env is not None
        assert self._last_obs is not None
        self._reader = TeacherInputReader(self.env)
        self._prepare_labeler(self._reader)
        if self._labeler is None:
            self._tracker.clear()
        elif self._is_reset_by_learn:
            self._tracker.keep(self._last_obs, View(self._reader.after_reset(copied(self._last_obs))))
        else:
            self._tracker.settle(self._last_obs)
        known = self._tracker.find(self._last_obs)
        if known is not None and known.inputs is not None:
            offered = self._reader.requests.fetch(known.inputs)
            check_offer([info for info in offered if UNREAD not in info], self.action_space)
        is_rpds = _package(getattr(self.collect_rollouts, "__module__", "")) == _OURS
        if self._labeler is None or is_rpds or make_coef_schedule(self.imitation_coef) == ConstantCoef(0.0):
            return super()._init_callback(callback, progress_bar)
        # As SB3 makes one callback of whatever it is given
        if isinstance(callback, list):
            callback = CallbackList(callback)
        if not isinstance(callback, BaseCallback):
            callback = ConvertCallback(callback)
        return super()._init_callback([CollectingGuard(lambda: self._is_collecting), callback], progress_bar)

    def _prepare_labeler(self, reader: TeacherInputReader) -> None:
        if self.teacher is None and not reader.has_controller:
            self._labeler = self._labeler_teacher = None
            if not self._has_said_plain_ppo:
                self._has_said_plain_ppo = True
                name = self._name_in(_OURS)
                warnings.warn(
                    f"{name} has no teacher and trains as {self._name_in(*_LIBRARIES)}. Give it one: "
                    f"{name}(..., teacher=...), {name}.load(..., teacher=...) or model.teacher = ...",
                    stacklevel=_users_level(),
                )
            return
        if self._labeler is None or self._labeler_teacher is not self.teacher:
            teacher = None if self.teacher is None else make_teacher(self.teacher)
            self._labeler = Labeler(teacher, self.action_space, self._to_policy_units)
            self._labeler_teacher = self.teacher
            self._teacher_is_quick = False
        if self._build_imitation_loss().needs_distribution and not self._labeler.gives_distribution:
            raise TeacherError(
                f"imitation_loss={cut(repr(self.imitation_loss))} compares distributions, but {self._labeler.source} gives "
                'actions only. Use "mse" (Box) or "nll", or a teacher whose predict() returns a TeacherOutput with std or '
                "logits."
            )

    def _name_in(self, *packages: str) -> str:
        """The name of the first class in the line of ancestors that one of these packages has."""
        return next(kind.__name__ for kind in type(self).__mro__ if _package(kind.__module__) in packages)

    def _to_policy_units(self, actions: np.ndarray) -> np.ndarray:
        if not self.policy.squash_output:
            return actions
        assert isinstance(self.action_space, spaces.Box)
        shaped = actions.reshape(-1, *self.action_space.shape)
        return self.policy.scale_action(shaped).reshape(actions.shape)

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
        :raises TeacherError: if the teacher does not fit the environment, or too many of its labels are missing.
        """
        self._current_imitation_coef = self._next_imitation_coef()
        if self._reward_watch is not None:
            self._reward_watch.update(self.ep_info_buffer, self.ep_success_buffer)
        self._is_collecting = True
        try:
            if self._labeler is None or not self._has_room_for_labels(rollout_buffer):
                return self._collect_unlabeled(env, callback, rollout_buffer, n_rollout_steps)
            return self._collect_labeled(self._labeler, env, callback, rollout_buffer, n_rollout_steps)
        finally:
            self._is_collecting = False

    def _collect(self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int) -> bool:
        """The algorithm's own ``collect_rollouts``."""
        return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)

    def _collect_unlabeled(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        requests = self._reader_of(env).requests
        requests.begin(np.zeros((n_rollout_steps, env.num_envs), dtype=bool))
        is_complete = self._collect(env, callback, rollout_buffer, n_rollout_steps)
        requests.end(is_complete)
        return is_complete

    def _reader_of(self, env: VecEnv) -> TeacherInputReader:
        reader: TeacherInputReader | None = getattr(self, "_reader", None)
        return reader if reader is not None and reader.env is env else TeacherInputReader(env)

    def _collect_labeled(
        self,
        labeler: Labeler,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: TeacherLabelsMixin,
        n_rollout_steps: int,
    ) -> bool:
        reader = self._reader_of(env)
        with RolloutLabeling(
            labeler,
            rollout_buffer,
            batch_size=self.label_batch_size,
            asynchronous=self.label_asynchronously,
            is_quick=self._teacher_is_quick,
        ) as labeling:
            wanted = labeling if self._current_imitation_coef > 0 else None
            signal = RewardSignal() if self.wait_for_reward else None
            labeling_callback = LabelingCallback(
                callback,
                self,
                reader,
                self._tracker,
                wanted,
                self._label_choice(),
                n_rollout_steps,
                self._add_to_view,
                None if signal is None else signal.add,
            )
            with rollout_buffer.announcing(labeling_callback.on_add):
                is_complete = self._collect(env, labeling_callback, rollout_buffer, n_rollout_steps)
            reader.requests.end(is_complete)
            if not is_complete:
                return False
            statistics = labeling.join()
        self._reward_signal = signal
        if statistics.asked:
            self._teacher_is_quick = statistics.is_quick(self.label_batch_size)
        self._record_labeling(statistics, rollout_buffer)
        if statistics.missing_share > self.max_missing_labels:
            self._stop_for_missing_labels(statistics)
        return True

    def _add_to_view(self, inputs: list[TeacherInfo], stored: Mapping[str, Any]) -> list[TeacherInfo]:
        """What the teacher may see of each environment, with what the buffer stores that it needs beside."""
        return inputs

    def _has_room_for_labels(self, rollout_buffer: RolloutBuffer) -> TypeGuard[TeacherLabelsMixin]:
        if self._current_imitation_coef > 0 and rollout_buffer is self.rollout_buffer:
            # One that the user has made himself, say of another size
            give_room_for_labels(rollout_buffer, self._labels_mixin)
            if rollout_buffer is not self._checked_buffer:
                self._check_buffer(rollout_buffer)
                self._checked_buffer = rollout_buffer
        return isinstance(rollout_buffer, TeacherLabelsMixin)

    def _check_buffer(self, rollout_buffer: TeacherLabelsMixin) -> None:
        check_labels_follow(rollout_buffer)

    def _record_labeling(self, statistics: LabelStatistics, rollout_buffer: TeacherLabelsMixin) -> None:
        n_entries = rollout_buffer.buffer_size * rollout_buffer.n_envs
        self.logger.record("teacher/seconds", statistics.seconds)
        self.logger.record("teacher/queries_per_state", statistics.asked / n_entries)
        self.logger.record("teacher/missing", statistics.missing + statistics.unseen)
        self.logger.record("teacher/clipped", statistics.clipped_share)
        self.logger.record("train/labeled", rollout_buffer.labeled_fraction())

    def _stop_for_missing_labels(self, statistics: LabelStatistics) -> None:
        assert self._labeler is not None
        self.logger.dump(step=self.num_timesteps)
        path = pathlib.Path(self.tensorboard_log or ".", f"rpd_stopped_at_{self.num_timesteps}_steps.zip")
        self.save(path)
        saved = f'The model is saved as "{path}"'
        if self._vec_normalize_env is not None:
            statistics_path = path.with_suffix(".vecnormalize.pkl")
            self._vec_normalize_env.save(str(statistics_path))
            saved += f', the statistics of VecNormalize as "{statistics_path}"'
        raise TeacherError(
            f"{statistics.missing} of {statistics.asked} labels of this rollout are missing, more than "
            f"max_missing_labels={self.max_missing_labels:.0%}, from {self._labeler.source}: {statistics.complaint}. {saved}. "
            "Correct the teacher and go on with "
            f"{type(self).__name__}.load(path, env=env, teacher=teacher).learn(..., reset_num_timesteps=False)."
        )


def _package(module: str) -> str:
    return module.partition(".")[0]


def _users_level() -> int:
    """The ``stacklevel`` with which a warning of the caller's shows the first line that is in none of these packages."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and _package(frame.f_globals["__name__"]) in (_OURS, *_LIBRARIES):
        level, frame = level + 1, frame.f_back
    return level

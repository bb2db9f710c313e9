"""The coefficient of the imitation term as training goes on."""

import math

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import safe_mean

from sb3_rpd.common.schedules import CoefSchedule, TrainingProgress, make_coef_schedule


class ImitationCoefficient(OnPolicyAlgorithm):
    """The running coefficient of an algorithm with a teacher; see ``LabeledRollouts``."""

    imitation_coef: float | CoefSchedule | Schedule

    #: The coefficient of the present iteration.
    _current_imitation_coef: float = 0.0

    def _restart_imitation_coef(self) -> None:
        make_coef_schedule(self.imitation_coef).reset()

    def _next_imitation_coef(self) -> float:
        schedule = make_coef_schedule(self.imitation_coef)
        mean_return = safe_mean([episode["r"] for episode in self.ep_info_buffer]) if self.ep_info_buffer else None
        progress = TrainingProgress(self._current_progress_remaining, self.num_timesteps, self._success_rate(), mean_return)
        coef = float(schedule(progress))
        if not (math.isfinite(coef) and coef >= 0.0):
            raise ValueError(f"An imitation coefficient must be finite and >= 0; {schedule!r} gave {coef} for {progress}.")
        return coef

    def _success_rate(self) -> float | None:
        """The exploring student's success rate over its last episodes, None while that is unknown."""
        return safe_mean(self.ep_success_buffer) if self.ep_success_buffer else None

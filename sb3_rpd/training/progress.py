"""Tells how far a training is."""

import time
from collections.abc import Callable

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import safe_mean

from sb3_rpd.evaluation import KeepBest, TeacherEvaluation


class ShowProgress(BaseCallback):
    """
    Say every few seconds how many steps are made, how long the rest will take and how the exploring student does; and each
    evaluation of the deterministic one.

    :param total_timesteps: Environment steps of the whole training.
    :param keep_best: Evaluates. It has to be called before this callback.
    :param say: Takes the lines.
    :param seconds: How much time is between two of them, at least.
    """

    def __init__(self, total_timesteps: int, keep_best: KeepBest, say: Callable[[str], None], seconds: float = 10.0) -> None:
        super().__init__()
        self.total_timesteps = total_timesteps
        self.keep_best = keep_best
        self.say = say
        self.seconds = seconds
        self._said_evaluations = 0

    def _on_training_start(self) -> None:
        self._began_at, self._began = self.num_timesteps, time.monotonic()
        self._said = self._began
        self._said_at = self.num_timesteps
        self._said_evaluations = len(self.keep_best.evaluations)

    def _on_rollout_start(self) -> None:
        self._say_evaluations()

    def _on_rollout_end(self) -> None:
        now = time.monotonic()
        if now - self._said >= self.seconds:
            self._said = now
            self._say_line(now)

    def _on_training_end(self) -> None:
        self._say_line(time.monotonic())
        self._say_evaluations()

    def _on_step(self) -> bool:
        return True

    def _say_evaluations(self) -> None:
        for steps, evaluation in self.keep_best.evaluations[self._said_evaluations :]:
            self.say(f"  evaluated after {steps:,} steps: {describe(evaluation)}")
        self._said_evaluations = len(self.keep_best.evaluations)

    def _say_line(self, now: float) -> None:
        if self.num_timesteps == self._said_at:
            return
        self._said_at = self.num_timesteps
        seconds = now - self._began
        parts = [f"{self.num_timesteps:,} of {self.total_timesteps:,} steps, {seconds:.0f} s"]
        if self.num_timesteps < self.total_timesteps:
            made = self.num_timesteps - self._began_at
            parts.append(f"about {seconds / made * (self.total_timesteps - self.num_timesteps):.0f} s left")
        if self.model.ep_success_buffer:
            parts.append(f"success {safe_mean(self.model.ep_success_buffer):.0%}")
        if self.model.ep_info_buffer:
            parts.append(f"return {safe_mean([episode['r'] for episode in self.model.ep_info_buffer]):.1f} while exploring")
        self.say(", ".join(parts))


def describe(evaluation: TeacherEvaluation) -> str:
    """
    :param evaluation: An evaluation.
    :return: Its figures, without intervals.
    """
    success = "" if evaluation.successes is None else f"success {evaluation.successes} of {evaluation.episodes}, "
    return f"{success}return {evaluation.mean_return:.1f}, {evaluation.mean_length:.0f} steps"

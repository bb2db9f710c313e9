"""Toy schedules, and what training shows them."""

from sb3_rpd.common.schedules import CoefSchedule, TrainingProgress


def training(progress_remaining=1.0, num_timesteps=0, success_rate=None, mean_return=None):
    return TrainingProgress(progress_remaining, num_timesteps, success_rate, mean_return)


class CountsDown(CoefSchedule):
    """Keeps state: the number of its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, training):
        self.calls += 1
        return 1.0 / self.calls

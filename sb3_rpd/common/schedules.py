"""Schedules of the imitation coefficient, and gates that switch it off from what training shows."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple, TypeGuard

import numpy as np


class TrainingProgress(NamedTuple):
    """
    What a schedule may look at.

    :param progress_remaining: SB3's: from 1 at the beginning of ``learn`` to 0 at its end.
    :param num_timesteps: Environment steps so far.
    :param success_rate: The student's success rate over its last episodes, in [0, 1]; None while unknown.
    :param mean_return: The student's mean episode return over its last episodes; None while unknown.
    """

    progress_remaining: float
    num_timesteps: int
    success_rate: float | None
    mean_return: float | None


class CoefSchedule(ABC):
    """
    The coefficient of the imitation loss over training. Schedules are saved with the model, state included.

    One of your own::

        class WhileItFails(CoefSchedule):
            def __call__(self, training: TrainingProgress) -> float:
                return 1.0 if training.success_rate is None else 1.0 - training.success_rate
    """

    @abstractmethod
    def __call__(self, training: TrainingProgress) -> float:
        """
        Called exactly once an iteration, before the rollout.

        :param training: What training has shown so far.
        :return: The coefficient for this iteration, finite and >= 0.
        """


@dataclass(frozen=True)
class ConstantCoef(CoefSchedule):
    """
    The same coefficient always.

    :param value: The coefficient.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        _check_coef("The imitation coefficient", self.value)

    def __call__(self, training: TrainingProgress) -> float:
        return self.value


@dataclass(frozen=True)
class AnnealedCoef(CoefSchedule):
    """
    A coefficient that goes from one value to another, and stays there.

    :param start: The coefficient at the beginning.
    :param end: The coefficient at the end.
    :param timesteps: After how many environment steps the end is reached. None: as ``end_fraction`` says.
    :param end_fraction: After which part of the ``learn`` call the end is reached, in (0, 1]. None, without
        ``timesteps``: 1.
    """

    start: float = 1.0
    end: float = 0.0
    timesteps: int | None = None
    end_fraction: float | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        _check_coef(f"{name}'s start", self.start)
        _check_coef(f"{name}'s end", self.end)
        if self.timesteps is not None and self.end_fraction is not None:
            raise ValueError(f"{name} ends after some timesteps or after an end_fraction of training: give one of the two.")
        if self.timesteps is not None and not self.timesteps > 0:
            raise ValueError(f"{name}'s timesteps must be > 0, not {self.timesteps}.")
        if self.end_fraction is not None and not 0.0 < self.end_fraction <= 1.0:
            raise ValueError(f"{name}'s end_fraction must be in (0, 1], not {self.end_fraction}.")

    def __call__(self, training: TrainingProgress) -> float:
        if self.timesteps is not None:
            elapsed = training.num_timesteps / self.timesteps
        else:
            elapsed = (1.0 - training.progress_remaining) / (self.end_fraction or 1.0)
        return self.end + (self.start - self.end) * self.shape(min(max(elapsed, 0.0), 1.0))

    @abstractmethod
    def shape(self, elapsed: float) -> float:
        """
        :param elapsed: How much of the annealing has passed, from 0 to 1.
        :return: How much of the way from ``end`` to ``start`` is left: 1 for 0, and 0 for 1.
        """


@dataclass(frozen=True)
class LinearCoef(AnnealedCoef):
    """A coefficient that changes in a straight line."""

    def shape(self, elapsed: float) -> float:
        return 1.0 - elapsed


@dataclass(frozen=True)
class CosineCoef(AnnealedCoef):
    """
    A coefficient that follows half a cosine: with ``timesteps``, the annealing of RPD's authors (arXiv 2503.05833).
    """

    def shape(self, elapsed: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * elapsed))


@dataclass(frozen=True)
class ProgressCoef(CoefSchedule):
    """
    A Stable-Baselines3 schedule as a coefficient schedule.

    :param schedule: A function of ``progress_remaining``.
    """

    schedule: Callable[[float], float]

    def __call__(self, training: TrainingProgress) -> float:
        value = float(self.schedule(training.progress_remaining))
        _check_coef(f"The imitation coefficient at progress_remaining={training.progress_remaining}", value)
        return value


class Gate(CoefSchedule):
    """
    A schedule times a factor that depends on what training shows.

    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    def __init__(self, coef: "float | CoefSchedule | Callable[[float], float]" = 1.0) -> None:
        self.coef = make_coef_schedule(coef)

    def __call__(self, training: TrainingProgress) -> float:
        # The schedule inside may keep count of its calls: it is asked while the gate is shut, too.
        return self.coef(training) * self.factor(training)

    @abstractmethod
    def factor(self, training: TrainingProgress) -> float:
        """
        Called exactly once an iteration.

        :param training: What training has shown so far.
        :return: What the coefficient is multiplied by, from 0 (shut) to 1 (open).
        """


class SuccessGate(Gate):
    """
    Open while the student succeeds less often than its teacher (or while that is unknown), shut otherwise. It opens
    again if the student falls back.

    :param teacher_success: The teacher's success rate, in (0, 1]. What counts is when to stop imitating: it may be
        set above the teacher's own.
    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    def __init__(self, teacher_success: float, coef: float | CoefSchedule | Callable[[float], float] = 1.0) -> None:
        super().__init__(coef)
        if not 0.0 < teacher_success <= 1.0:
            raise ValueError(
                f"SuccessGate's teacher_success must be in (0, 1], not {teacher_success}: at 0 no student could be worse, "
                "and above 1 none could be better."
            )
        self.teacher_success = teacher_success

    def factor(self, training: TrainingProgress) -> float:
        success_rate = training.success_rate
        return 1.0 if not _is_known(success_rate) or success_rate < self.teacher_success else 0.0


class QDaggerGate(Gate):
    """
    Shuts as the student's return nears its teacher's: max(1 - student / teacher, 0), the decay of QDagger
    (arXiv 2206.01626). Open while the student's return is unknown. A student's return below zero counts as
    zero: the formula is for returns >= 0, and beyond them would grow without bound.

    :param teacher_return: The teacher's mean episode return, > 0.
    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    def __init__(self, teacher_return: float, coef: float | CoefSchedule | Callable[[float], float] = 1.0) -> None:
        super().__init__(coef)
        if not (math.isfinite(teacher_return) and teacher_return > 0.0):
            raise ValueError(
                f"QDaggerGate's teacher_return must be finite and > 0, not {teacher_return}: a share of it means nothing "
                "otherwise. Where returns are negative, take SuccessGate or RewardTrendGate."
            )
        self.teacher_return = teacher_return

    def factor(self, training: TrainingProgress) -> float:
        if not _is_known(training.mean_return):
            return 1.0
        return min(max(1.0 - training.mean_return / self.teacher_return, 0.0), 1.0)


class RewardTrendGate(Gate):
    """
    Open until the student's return has stopped rising, then shut for good.

    :param window: Over how many iterations the slope of the mean return is fitted.
    :param threshold: The slope, in return per iteration, under which the return counts as not rising.
    :param patience: For how many iterations in a row it must not rise before the gate shuts.
    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    def __init__(
        self,
        window: int = 10,
        threshold: float = 0.0,
        patience: int = 5,
        coef: float | CoefSchedule | Callable[[float], float] = 1.0,
    ) -> None:
        super().__init__(coef)
        self.threshold = threshold
        self.patience = patience
        self.returns: deque[float] = deque(maxlen=window)
        self.stalled = 0
        self.shut = False

    def factor(self, training: TrainingProgress) -> float:
        if _is_known(training.mean_return):
            self.returns.append(training.mean_return)
            if len(self.returns) == self.returns.maxlen:
                slope = float(np.polyfit(np.arange(len(self.returns)), np.array(self.returns), 1)[0])
                self.stalled = self.stalled + 1 if slope < self.threshold else 0
                self.shut = self.shut or self.stalled >= self.patience
        return 0.0 if self.shut else 1.0


def make_coef_schedule(value: float | CoefSchedule | Callable[[float], float]) -> CoefSchedule:
    """
    Turn whatever a user gives as a coefficient into a schedule.

    :param value: A number, a schedule, or an SB3 schedule (a callable of ``progress_remaining``).
    :return: The schedule.
    :raises ValueError: if a number is negative or not finite.
    :raises TypeError: if it is none of these.
    """
    if isinstance(value, CoefSchedule):
        return value
    if isinstance(value, Real):
        return ConstantCoef(float(value))
    if callable(value) and not isinstance(value, type):
        return ProgressCoef(value)
    raise TypeError(
        f"The imitation coefficient must be a number, a CoefSchedule or a callable of progress_remaining, not {value!r}."
    )


def _check_coef(name: str, value: float) -> None:
    if not (math.isfinite(value) and value >= 0.0):
        raise ValueError(f"{name} must be finite and >= 0, not {value}.")


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)

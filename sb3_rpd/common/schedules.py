"""Schedules of the imitation coefficient, and gates that switch it off from what training shows."""

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import NamedTuple, TypeAlias, TypeGuard


class TrainingProgress(NamedTuple):
    """
    What a schedule may look at.

    :param progress_remaining: As SB3 has it: 1 at the beginning of ``learn``, 0 at its end.
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
    The coefficient of the imitation term over training. It is saved with the model, whatever state it keeps included.

    One of your own takes three lines::

        class WhileItFails(CoefSchedule):
            def __call__(self, training: TrainingProgress) -> float:
                return 1.0 if training.success_rate is None else 1.0 - training.success_rate
    """

    @abstractmethod
    def __call__(self, training: TrainingProgress) -> float:
        """
        Called exactly once an iteration, before the rollout.

        :param training: What training has shown so far.
        :return: The coefficient of this iteration, finite and >= 0.
        """


#: What stands for a schedule: a number, a schedule, or an SB3 schedule (a function of ``progress_remaining``).
CoefLike: TypeAlias = float | CoefSchedule | Callable[[float], float]


@dataclass(frozen=True)
class ConstantCoef(CoefSchedule):
    """
    The same coefficient throughout.

    :param value: The coefficient.
    """

    value: float = 1.0

    def __post_init__(self) -> None:
        _check_coef("An imitation coefficient", self.value)

    def __call__(self, training: TrainingProgress) -> float:
        return self.value


@dataclass(frozen=True)
class AnnealedCoef(CoefSchedule):
    """
    A coefficient that goes from one value to another and stays there.

    :param start: The coefficient at the beginning.
    :param end: The coefficient at the end.
    :param timesteps: After how many environment steps the end is reached.
    :param end_fraction: After which part of the ``learn`` call the end is reached, in (0, 1]; 1 if neither is given.
    """

    start: float = 1.0
    end: float = 0.0
    timesteps: int | None = field(default=None, kw_only=True)
    end_fraction: float | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        name = type(self).__name__
        _check_coef(f"{name}'s start", self.start)
        _check_coef(f"{name}'s end", self.end)
        if self.timesteps is not None and self.end_fraction is not None:
            raise ValueError(f"{name} ends after a number of timesteps or an end_fraction of training: give one of the two.")
        if self.timesteps is not None and not 0 < self.timesteps < math.inf:
            raise ValueError(f"{name}'s timesteps must be finite and > 0, not {self.timesteps}.")
        if self.end_fraction is not None and not 0.0 < self.end_fraction <= 1.0:
            raise ValueError(f"{name}'s end_fraction must be in (0, 1], not {self.end_fraction}.")

    def __call__(self, training: TrainingProgress) -> float:
        if self.timesteps is not None:
            elapsed = training.num_timesteps / self.timesteps
        else:
            elapsed = (1.0 - training.progress_remaining) / (self.end_fraction or 1.0)
        remaining = self.remaining(min(max(elapsed, 0.0), 1.0))
        # A sum of two terms >= 0, so that rounding cannot leave the range of the two
        return self.start * remaining + self.end * (1.0 - remaining)

    @abstractmethod
    def remaining(self, elapsed: float) -> float:
        """
        :param elapsed: The part of the annealing that has passed, from 0 to 1.
        :return: The part of the way from ``start`` to ``end`` that remains, from 1 to 0.
        """


@dataclass(frozen=True)
class LinearCoef(AnnealedCoef):
    """A coefficient that goes from one value to another in a straight line."""

    def remaining(self, elapsed: float) -> float:
        return 1.0 - elapsed


@dataclass(frozen=True)
class CosineCoef(AnnealedCoef):
    """
    A coefficient that goes from one value to another along half a cosine. ``CosineCoef(timesteps=n)`` is the annealing of
    RPD's authors (arXiv 2503.05833).
    """

    def remaining(self, elapsed: float) -> float:
        return 0.5 * (1.0 + math.cos(math.pi * elapsed))


@dataclass(frozen=True)
class ProgressCoef(CoefSchedule):
    """
    An SB3 schedule as a coefficient.

    :param schedule: A function of ``progress_remaining``.
    """

    schedule: Callable[[float], float]

    def __post_init__(self) -> None:
        self._value_at(1.0)

    def __call__(self, training: TrainingProgress) -> float:
        return self._value_at(training.progress_remaining)

    def _value_at(self, progress_remaining: float) -> float:
        try:
            value = float(self.schedule(progress_remaining))
        except (TypeError, AttributeError) as error:
            raise TypeError(
                f"{self.schedule!r} cannot be the imitation coefficient ({error}): it must take progress_remaining, a number "
                "from 1 to 0, and return a number. To look at more than that, subclass CoefSchedule."
            ) from error
        _check_coef(f"The imitation coefficient {self.schedule!r} at progress_remaining={progress_remaining}", value)
        return value


@dataclass
class Gate(CoefSchedule):
    """
    A schedule times a factor that depends on what training shows.

    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    coef: CoefLike = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        self._schedule = make_coef_schedule(self.coef)

    def __call__(self, training: TrainingProgress) -> float:
        # The schedule within may keep state: it sees every iteration, also while the gate is shut
        return self._schedule(training) * self.factor(training)

    @abstractmethod
    def factor(self, training: TrainingProgress) -> float:
        """
        Called exactly once an iteration.

        :param training: What training has shown so far.
        :return: What the coefficient is multiplied by, from 0 (shut) to 1 (open).
        """


@dataclass
class SuccessGate(Gate):
    """
    Open while the student succeeds less often than its teacher, and while its success rate is unknown. A student that
    falls back gets its teacher back.

    :param teacher_success: The teacher's success rate, in (0, 1]. A student gains from a teacher that it has surpassed,
        too, so that a higher number than the teacher's own may serve better.
    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    teacher_success: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.teacher_success <= 1.0:
            raise ValueError(
                f"SuccessGate's teacher_success must be in (0, 1], not {self.teacher_success}. For a teacher that never "
                "succeeds, give the success rate from which the student shall go on alone."
            )

    def factor(self, training: TrainingProgress) -> float:
        success_rate = training.success_rate
        return 1.0 if not _is_known(success_rate) or success_rate < self.teacher_success else 0.0


@dataclass
class QDaggerGate(Gate):
    """
    Shuts little by little as the student's return nears its teacher's: max(1 - student / teacher, 0), the decay of QDagger
    (arXiv 2206.01626). Open while the student's return is unknown. The formula is for returns >= 0: a student's return
    below zero counts as zero, as the factor would else grow without bound.

    :param teacher_return: The teacher's mean episode return, > 0.
    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    teacher_return: float

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 < self.teacher_return < math.inf:
            raise ValueError(
                f"QDaggerGate's teacher_return must be finite and > 0, not {self.teacher_return}: it compares the student's "
                "return to it by their ratio. Where returns are negative, take SuccessGate or RewardTrendGate."
            )

    def factor(self, training: TrainingProgress) -> float:
        if not _is_known(training.mean_return):
            return 1.0
        return max(1.0 - max(training.mean_return, 0.0) / self.teacher_return, 0.0)


@dataclass
class RewardTrendGate(Gate):
    """
    Open until the student's return no longer rises, then shut for good, as VLAJS (arXiv 2604.13733) ends its guidance on
    the reward's trend. The rule is our own: the slope of a straight line, fitted by least squares to the mean returns of
    the last ``window`` iterations, has been at or below ``threshold`` for ``patience`` iterations in a row. Iterations
    in which the return is unknown do not count.

    With a sparse reward the return is flat before the first success, too: ``window + patience`` iterations must be longer
    than that.

    :param window: How many iterations the line is fitted to, at least 2.
    :param threshold: The slope, in return per iteration, above which the return counts as rising.
    :param patience: How many iterations in a row the return must not rise, at least 1.
    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    window: int = 20
    threshold: float = 0.0
    patience: int = 20
    #: Whether the gate has shut.
    is_shut: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.window < 2 or self.patience < 1:
            raise ValueError(
                "RewardTrendGate fits a line to a window of at least 2 iterations, with a patience of at least 1: "
                f"window={self.window}, patience={self.patience} will not do."
            )
        if not math.isfinite(self.threshold):
            raise ValueError(f"RewardTrendGate's threshold must be finite, not {self.threshold}.")
        self._returns: deque[float] = deque(maxlen=self.window)
        self._iterations_without_rise = 0

    def factor(self, training: TrainingProgress) -> float:
        if not self.is_shut and _is_known(training.mean_return):
            self._returns.append(training.mean_return)
            if len(self._returns) == self.window:
                rises = _slope(self._returns) > self.threshold
                self._iterations_without_rise = 0 if rises else self._iterations_without_rise + 1
                self.is_shut = self._iterations_without_rise >= self.patience
        return 0.0 if self.is_shut else 1.0


def make_coef_schedule(value: CoefLike) -> CoefSchedule:
    """
    Make a schedule of whatever a user gives as the imitation coefficient.

    :param value: A number, a schedule (returned as it is), or an SB3 schedule.
    :return: The schedule.
    :raises ValueError: if the coefficient is negative or not finite.
    :raises TypeError: if it is none of these.
    """
    if isinstance(value, CoefSchedule):
        return value
    if isinstance(value, Real):
        return ConstantCoef(float(value))
    if callable(value) and not isinstance(value, type):
        return ProgressCoef(value)
    raise TypeError(
        "The imitation coefficient must be a number >= 0, a CoefSchedule such as CosineCoef(timesteps=1_000_000), or a "
        f"function of progress_remaining, not {value!r}."
    )


def _check_coef(name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and >= 0, not {value}.")


def _is_known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _slope(values: Sequence[float]) -> float:
    """
    :param values: At least two numbers at equal distances.
    :return: The slope of the least-squares line through them, exactly zero where they are all the same.
    """
    middle = (len(values) - 1) / 2.0
    # fsum is exact: rounding must not turn a flat line into a rising one
    return math.fsum((i - middle) * value for i, value in enumerate(values)) / math.fsum(
        (i - middle) ** 2 for i in range(len(values))
    )

"""Gates: coefficients of the imitation term that are switched off by what training shows."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from sb3_rpd.common.schedules import CoefLike, CoefSchedule, TrainingProgress, make_coef_schedule


@dataclass
class Gate(CoefSchedule):
    """
    A schedule times a factor that depends on what training shows.

    :param coef: The coefficient while the gate is open: a number, a schedule, or an SB3 schedule.
    """

    coef: CoefLike = field(default=1.0, kw_only=True)

    def __post_init__(self) -> None:
        make_coef_schedule(self.coef)

    def __call__(self, training: TrainingProgress) -> float:
        # The schedule within may keep state: it sees every iteration, also while the gate is shut
        return make_coef_schedule(self.coef)(training) * self.factor(training)

    def reset(self) -> None:
        make_coef_schedule(self.coef).reset()

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
        self._forget()

    def _forget(self) -> None:
        self.is_shut = False
        self._returns: list[float] = []
        self._iterations_without_rise = 0

    def reset(self) -> None:
        super().reset()
        self._forget()

    def factor(self, training: TrainingProgress) -> float:
        if not self.is_shut and _is_known(training.mean_return):
            self._returns = [*self._returns, training.mean_return][-self.window :]
            if len(self._returns) == self.window:
                rises = _slope(self._returns) > self.threshold
                self._iterations_without_rise = 0 if rises else self._iterations_without_rise + 1
                self.is_shut = self._iterations_without_rise >= self.patience
        return 0.0 if self.is_shut else 1.0


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

"""Schedules of the imitation coefficient."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from numbers import Real
from typing import NamedTuple, TypeAlias

from sb3_rpd.common.wording import cut, function_name


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
    The coefficient of the imitation term over training. The object given to a model is itself asked, so that what is changed
    about it during training counts; it is saved with the model, whatever state it keeps included.

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

    def reset(self) -> None:  # noqa: B027 (optional hook)
        """Called where a run begins anew, by ``learn`` with ``reset_num_timesteps=True``: forget what earlier runs showed."""


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
        # Not called before it is needed: it may be a method of a callback that training has not begun with
        try:
            inspect.signature(self.schedule).bind(1.0)
        except ValueError:
            # Python cannot tell the signature of some functions that are written in C
            return
        except TypeError as error:
            raise self._misfit(error) from error

    def __call__(self, training: TrainingProgress) -> float:
        progress_remaining = training.progress_remaining
        try:
            coef = float(self.schedule(progress_remaining))
        except (TypeError, AttributeError) as error:
            raise self._misfit(error) from error
        name = function_name(self.schedule)
        _check_coef(f"The imitation coefficient {name} at progress_remaining={progress_remaining}", coef)
        return coef

    def _misfit(self, error: Exception) -> TypeError:
        return TypeError(
            f"{function_name(self.schedule)} cannot be the imitation coefficient ({cut(error)}): it must take "
            "progress_remaining, a number from 1 to 0, and return a number. To look at more than that, subclass "
            "CoefSchedule."
        )


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
        f"function of progress_remaining, not {cut(repr(value))}."
    )


def _check_coef(name: str, value: float) -> None:
    if not 0.0 <= value < math.inf:
        raise ValueError(f"{name} must be finite and >= 0, not {value}.")

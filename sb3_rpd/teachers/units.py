"""From a teacher's units to the environment's: conversions by name, by a function, several in turn; and a check of ranges."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import TeacherOutput


class ActionConversion(ABC):
    """Maps a teacher's answers from its own units to the environment's."""

    #: Whether standard deviations are mapped as well. Where not, converted answers come without a distribution.
    keeps_distribution: bool = True

    @abstractmethod
    def __call__(self, actions: np.ndarray) -> np.ndarray:
        """
        :param actions: Actions in the teacher's units, of shape (n, ...).
        :return: The same in the environment's units; rows of NaN stay rows of NaN.
        """

    @abstractmethod
    def convert_std(self, std: np.ndarray) -> np.ndarray | None:
        """
        :param std: Standard deviations of the actions, in the teacher's units.
        :return: The same in the environment's units, None where they are not known.
        """

    def output(self, output: TeacherOutput) -> TeacherOutput:
        """:return: A whole answer in the environment's units."""
        std = None if output.std is None else self.convert_std(output.std)
        return TeacherOutput(self(output.actions), std=std, clipped=output.clipped)


@dataclass(frozen=True)
class GripperConversion(ActionConversion):
    """
    Maps the gripper g, the last number of each action, to scale * g + offset. The other numbers stay as they are.

    :param scale: Factor.
    :param offset: What is added.
    """

    scale: float
    offset: float = 0.0

    @property
    def inverse(self) -> "GripperConversion":
        """From the environment's units back to the teacher's."""
        return GripperConversion(1.0 / self.scale, -self.offset / self.scale)

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        return self._with_last(actions, self.scale * self._last(actions) + self.offset)

    def convert_std(self, std: np.ndarray) -> np.ndarray:
        return self._with_last(std, abs(self.scale) * self._last(std))

    @staticmethod
    def _last(actions: np.ndarray) -> np.ndarray:
        if np.ndim(actions) < 2:
            raise TeacherError(
                f"A gripper is the last of several numbers; actions of shape {np.shape(actions)} have none to convert. Make "
                "the teacher without convert_actions."
            )
        return np.asarray(actions)[..., -1:]

    @staticmethod
    def _with_last(actions: np.ndarray, last: np.ndarray) -> np.ndarray:
        return np.concatenate([np.asarray(actions)[..., :-1], last], axis=-1)


@dataclass(frozen=True)
class _Function(ActionConversion):
    """A user's function, which maps actions alone."""

    function: Callable[[np.ndarray], np.ndarray]
    keeps_distribution = False

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        return self.function(actions)

    def convert_std(self, std: np.ndarray) -> None:
        return None


@dataclass(frozen=True)
class _InTurn(ActionConversion):
    """Several conversions, one after the other; none of them leaves an answer as it is."""

    conversions: tuple[ActionConversion, ...]

    @property
    def keeps_distribution(self) -> bool:  # type: ignore[override]
        return all(conversion.keeps_distribution for conversion in self.conversions)

    def __call__(self, actions: np.ndarray) -> np.ndarray:
        return reduce(lambda converted, conversion: conversion(converted), self.conversions, actions)

    def convert_std(self, std: np.ndarray) -> np.ndarray | None:
        converted: np.ndarray | None = std
        for conversion in self.conversions:
            converted = None if converted is None else conversion.convert_std(converted)
        return converted

    def output(self, output: TeacherOutput) -> TeacherOutput:
        return reduce(lambda converted, conversion: conversion.output(converted), self.conversions, output)


#: From 0 = closed, 1 = open, as most robot data (and so OpenVLA and Octo) have it, to -1 = closed, +1 = open, as ManiSkill and
#: other simulators do.
signed_gripper = GripperConversion(2.0, -1.0)

#: From -1 = closed, +1 = open to -1 = open, +1 = closed, as LIBERO (robosuite) has it, or back.
inverted_gripper = GripperConversion(-1.0)

#: The conversions that have a name.
CONVERSIONS = {"signed_gripper": signed_gripper, "inverted_gripper": inverted_gripper}

#: What a teacher's ``convert_actions`` may be: a name out of ``CONVERSIONS``, an ``ActionConversion``, a function that maps
#: actions of shape (n, ...) from the teacher's units to the environment's, several of these to be applied in turn, or
#: None where the units are the same.
ConvertActions: TypeAlias = (
    str | Callable[[np.ndarray], np.ndarray] | Sequence[str | Callable[[np.ndarray], np.ndarray]] | None
)


def make_conversion(convert_actions: ConvertActions, *, gives_distribution: bool = False) -> ActionConversion:
    """
    :param convert_actions: What the user passes as ``convert_actions``.
    :param gives_distribution: Whether the teacher is to give a distribution in the environment's units.
    :return: It as a conversion.
    :raises ValueError: if there is no conversion of that name, or it does not keep the distribution that is wanted.
    :raises TypeError: if it is none of these.
    """
    conversion = _make(convert_actions)
    if gives_distribution and not conversion.keeps_distribution:
        raise ValueError(
            "A function as convert_actions maps actions only, so what comes back has no distribution in the environment's "
            "units. Make the teacher without gives_distribution, or take a conversion that has a name: "
            f"{', '.join(CONVERSIONS)}."
        )
    return conversion


def _make(spec: Any) -> ActionConversion:
    if spec is None:
        return _InTurn(())
    if isinstance(spec, ActionConversion):
        return spec
    if isinstance(spec, str):
        if spec not in CONVERSIONS:
            raise ValueError(f"There is no conversion {spec!r} of actions, only {', '.join(map(repr, CONVERSIONS))} and None.")
        return CONVERSIONS[spec]
    if callable(spec):
        return _Function(spec)
    if isinstance(spec, Sequence):
        return _InTurn(tuple(_make(part) for part in spec))
    raise TypeError(
        f"convert_actions is of type {type(spec).__name__}. It is one of {', '.join(map(repr, CONVERSIONS))}, a function of "
        "actions, a list of these, or None."
    )


def same_actions(of_model: spaces.Space, of_env: spaces.Space, convert: ConvertActions = None) -> bool:
    """
    :param of_model: The action space that a model was trained in.
    :param of_env: An environment's.
    :param convert: From the units of the first to those of the second.
    :return: Whether a converted action of the first means the same in the second. The dtype of a Box does not matter.
    """
    if isinstance(of_model, spaces.Box) and isinstance(of_env, spaces.Box):
        ends = np.asarray(make_conversion(convert)(np.stack([of_model.low, of_model.high])))
        if ends.shape[1:] != of_env.shape:
            return False
        return bool(np.allclose(ends.min(axis=0), of_env.low) and np.allclose(ends.max(axis=0), of_env.high))
    return bool(of_model == of_env)


def check_range(low: np.ndarray, high: np.ndarray, box: spaces.Box, *, teacher: str, cure: str) -> None:
    """
    Check that a teacher's actions can be in the environment's units.

    :param low: The least number that it gives in each dimension, of shape (k,), in what should be the environment's units.
    :param high: The largest.
    :param box: The environment's action space, of shape (k,).
    :param teacher: Who it is, for messages.
    :param cure: What to do about it, for messages.
    :raises TeacherError: if in some dimension half of the range or more is outside of the Box, and by more than a tenth of
        its width.
    """
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    bounds = box.low.astype(np.float64), box.high.astype(np.float64)
    inside = np.minimum(high, bounds[1]) - np.maximum(low, bounds[0])
    reach = np.maximum(high - bounds[1], bounds[0] - low)
    # a dimension that is constant has no width; inside it is zero then, and negative outside
    mostly_outside = np.where(high > low, inside <= 0.5 * (high - low) * (1 + 1e-6), inside < 0)
    wrong = mostly_outside & (reach > 0.1 * (bounds[1] - bounds[0]))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise TeacherError(
            f"The actions of {teacher} are in other units than the environment's: number {first} goes from {low[first]:g} to "
            f"{high[first]:g}, and in the environment from {bounds[0][first]:g} to {bounds[1][first]:g} "
            f"({int(wrong.sum())} of {len(wrong)} numbers are so). Most of them would be clipped to the bounds. {cure}"
        )

"""Knows which of the teacher's views belongs to the observation that goes into the rollout buffer."""

from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_rpd.common.type_aliases import TeacherInfo

#: What is said of a label that is missing because somebody else has set the observation on which the student acts.
REPLACED = (
    "model._last_obs was replaced, or changed in place, by something else than a step of the rollout, and what the teacher "
    "sees of it is not known"
)


class View(NamedTuple):
    """
    What the teacher may see of one moment.

    :param inputs: One entry for each environment; None if that is not known.
    :param complaint: Why it is not known; None also where that is no more than the documentation says.
    """

    inputs: list[TeacherInfo] | None
    complaint: str | None = None


class _Moment(NamedTuple):
    """
    :param observations: The student's observations, the very object.
    :param values: A copy, made at that moment.
    :param view: The teacher's view of it.
    """

    observations: VecEnvObs
    values: VecEnvObs
    view: View

    def has(self, observations: VecEnvObs) -> bool:
        """Whether these are its observations, in their place in memory, and still what they were."""
        return shares_memory(observations, self.observations) and has_same_values(observations, self.values)


class TeacherInputTracker:
    """
    Keeps the teacher's view of the observation on which the student acts, and of the one that the step has brought.

    A ``VecEnv`` may write each observation over the last one, and somebody may reset the environments or put another
    observation in the place of ``model._last_obs``. So a view is given out only for observations that are in the same place in
    memory and have the same values as those that it belongs to.
    """

    def __init__(self) -> None:
        self._moments: list[_Moment] = []

    def clear(self) -> None:
        """Forget all."""
        self._moments = []

    def keep(self, observations: VecEnvObs, view: View) -> None:
        """
        Know one moment, and no other.

        :param observations: ``model._last_obs``.
        :param view: What the teacher may see of the same moment.
        """
        self._moments = [_Moment(observations, copied(observations), view)]

    def add(self, observations: VecEnvObs, values: VecEnvObs, view: View) -> None:
        """
        Know the moment after a step as well.

        :param observations: What the step returned.
        :param values: A copy of it.
        :param view: What the teacher may see of the same moment.
        """
        self._moments = [*self._moments[-1:], _Moment(observations, values, view)]

    def drop_last(self, complaint: str) -> None:
        """
        Somebody may have written another moment's observations into the memory of the latest.

        :param complaint: What to say of it.
        """
        *earlier, last = self._moments
        self._moments = [*earlier, last._replace(view=View(None, complaint))]

    def find(self, observations: VecEnvObs) -> View | None:
        """
        :param observations: What goes into the buffer, or what the student acts on.
        :return: The view of it; None if it is no moment that is known.
        """
        return next((moment.view for moment in self._moments if moment.has(observations)), None)

    def find_by_values(self, observations: VecEnvObs) -> View | None:
        """
        :param observations: See ``find``.
        :return: The view of a moment at which the observations had the same values, wherever they are in memory.
        """
        return next((moment.view for moment in self._moments if has_same_values(observations, moment.values)), None)

    def is_changed_in_place(self, observations: VecEnvObs) -> bool:
        """
        :param observations: See ``find``.
        :return: Whether they are in the memory of a moment that is known, but not what they were.
        """
        in_place = [moment for moment in self._moments if shares_memory(observations, moment.observations)]
        return bool(in_place) and not any(has_same_values(observations, moment.values) for moment in in_place)

    def settle(self, observations: VecEnvObs) -> None:
        """
        Between two rollouts: keep the moment of the observations on which the student will act.

        :param observations: ``model._last_obs``.
        """
        view = self.find(observations)
        if view is None:
            # Nothing is known at all after loading, or after training without a teacher
            view = View(None, REPLACED if self._moments else None)
        self.keep(observations, view)

    @property
    def memory_is_reused(self) -> bool:
        """Whether the last step has written its observations over those before it."""
        return len(self._moments) > 1 and shares_memory(self._moments[0].observations, self._moments[1].observations)


def copied(observations: VecEnvObs) -> VecEnvObs:
    """
    :param observations: The student's observations.
    :return: A copy of them.
    """
    if isinstance(observations, dict):
        return {name: np.array(array) for name, array in observations.items()}
    return np.array(observations)


def shares_memory(first: VecEnvObs, second: VecEnvObs) -> bool:
    """
    :param first: Observations.
    :param second: Others.
    :return: Whether one may be a part of the other's memory.
    """
    return any(np.may_share_memory(array, other) for array, other in zip(_arrays(first), _arrays(second), strict=False))


def has_same_values(first: VecEnvObs, second: VecEnvObs) -> bool:
    """
    :param first: Observations.
    :param second: Others.
    :return: Whether the two are equal, with NaN equal to NaN.
    """
    if isinstance(first, dict) != isinstance(second, dict):
        return False
    if isinstance(first, dict) and isinstance(second, dict) and first.keys() != second.keys():
        return False
    pairs = zip(_arrays(first), _arrays(second), strict=True)
    return all(_are_equal(array, other) or _equal_with_nan(array, other) for array, other in pairs)


def _are_equal(first: np.ndarray, second: np.ndarray) -> bool:
    # At every step, and np.array_equal takes three times as long for a few numbers
    return first.shape == second.shape and bool((first == second).all())


def _equal_with_nan(first: np.ndarray, second: np.ndarray) -> bool:
    return np.issubdtype(first.dtype, np.inexact) and np.array_equal(first, second, equal_nan=True)


def _arrays(observations: VecEnvObs) -> list[Any]:
    if isinstance(observations, dict):
        return [observations[name] for name in sorted(observations)]
    return [observations]

"""What a teacher may get wrong in the same way each time: small parts for ``DegradedTeacher``, in any combination."""

from abc import ABC
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import shortened
from sb3_rpd.envs.cube_state import CUBE_STATE_SLICES, CubeState

#: Dimensions of an observation or of an action: one, several, or a slice of them.
Dimensions = int | Sequence[int] | slice


class TeacherFault(ABC):  # noqa: B024 (each fault has one of the two hooks)
    """A systematic error: in what a teacher sees, or in what it then does. It draws no random numbers."""

    def see(self, observations: RawObservation) -> RawObservation:
        """
        :param observations: What the environment offers, first axis n.
        :return: What the teacher takes it for. The array given is left as it is.
        """
        return observations

    def act(self, observations: RawObservation, actions: np.ndarray) -> np.ndarray:
        """
        :param observations: What the environment offers, first axis n.
        :param actions: What the teacher meant to do, float64 of shape (n, \\*action_space.shape).
        :return: What it does instead, of the same shape. The array given is left as it is.
        """
        return actions


@dataclass(frozen=True)
class Misperception(TeacherFault):
    """
    Some numbers of an observation appear shifted by a constant, as to a VLA that misjudges where an object is.

    :param offset: What is added, in the observation's units: one number, or one for each of ``dimensions``.
    :param dimensions: Which numbers of the observation's last axis.
    :param name: The observation's name; None where the environment offers a single array.
    """

    offset: float | Sequence[float]
    dimensions: Dimensions
    name: str | None = None

    def see(self, observations: RawObservation) -> RawObservation:
        who = type(self).__name__
        if self.name is None:
            return self._shifted(_array(observations, who))
        entries = _entries(observations, self.name, who)
        return {**entries, self.name: self._shifted(entries[self.name])}

    def _shifted(self, array: np.ndarray) -> np.ndarray:
        shifted = np.array(array)
        shifted[..., _index(self.dimensions)] += np.asarray(self.offset, dtype=shifted.dtype)
        return shifted


@dataclass(frozen=True)
class Inversion(TeacherFault):
    """
    Some dimensions of the action have the wrong sign, as after a change of camera or of control convention.

    :param dimensions: Which dimensions of the action.
    """

    dimensions: Dimensions

    def act(self, observations: RawObservation, actions: np.ndarray) -> np.ndarray:
        inverted = np.array(actions)
        inverted[..., _index(self.dimensions)] *= -1
        return inverted


@dataclass(frozen=True)
class Stall(TeacherFault):
    """
    The teacher stops moving within some distance of its aim.

    :param distance: A function of a batch of observations: how far each of them is from the aim, shape (n,).
    :param within: The distance up to which the teacher stands still, in the function's units.
    :param dimensions: Which dimensions of the action are 0 then.
    """

    distance: Callable[[RawObservation], np.ndarray]
    within: float
    dimensions: Dimensions

    def act(self, observations: RawObservation, actions: np.ndarray) -> np.ndarray:
        stalled = np.array(actions)
        stalled[..., _index(self.dimensions)] = 0.0
        near = self.distance(observations) <= self.within
        return np.where(near[:, np.newaxis], stalled, actions)


def misjudged_cube(offset: Sequence[float]) -> Misperception:
    """
    A scripted teacher of ManiSkill2's cube tasks takes the cube to be somewhere else.

    :param offset: From where the cube is to where the teacher takes it to be, in metres in the world frame, shape (3,).
    :return: The fault.
    """
    return Misperception(tuple(offset), CUBE_STATE_SLICES["cube_position"], name="privileged")


def stall_near_cube(within: float) -> Stall:
    """
    A scripted teacher of ManiSkill2's cube tasks neither moves nor turns its hand any more when that is near the cube.

    :param within: Distance between the point between the finger tips and the cube's center, in metres.
    :return: The fault.
    """
    return Stall(hand_to_cube, within, slice(0, 6))


def hand_to_cube(observations: RawObservation) -> np.ndarray:
    """
    :param observations: With the entry "privileged", as ``privileged_state`` offers it, shape (n, ``CUBE_STATE_SIZE``).
    :return: Distance between the point between the finger tips and the cube's center, in metres, shape (n,).
    """
    state = CubeState.unpack(_entries(observations, "privileged", "A stall near the cube")["privileged"])
    return np.asarray(np.linalg.norm(state.cube_position - state.tcp_position, axis=-1))


def _index(dimensions: Dimensions) -> int | list[int] | slice:
    return dimensions if isinstance(dimensions, int | slice) else list(dimensions)


def _array(observations: RawObservation, who: str) -> np.ndarray:
    if isinstance(observations, dict):
        raise TeacherError(
            f"{who} is about a single array, and the environment offers the observations {shortened(sorted(observations))}: "
            "say which one is meant by its name."
        )
    return observations


def _entries(observations: RawObservation, name: str, who: str) -> dict[str, np.ndarray]:
    if not isinstance(observations, dict) or name not in observations:
        offered = shortened(sorted(observations)) if isinstance(observations, dict) else "a single array"
        raise TeacherError(f"{who} needs the observation {name!r}, and the environment offers {offered}.")
    return observations

"""What every teacher is: a batch of raw observations in, a batch of actions in the environment's units out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.type_aliases import RawObservation


@dataclass(frozen=True)
class TeacherOutput:
    """
    A teacher's answer to a batch of n observations.

    :param actions: The actions, of shape (n, \\*action_space.shape), in the environment's own units:
        inside the Box, or integers for Discrete, MultiDiscrete and MultiBinary spaces. Where the teacher
        gives a distribution this is its mode. A row of NaN (floats, in discrete spaces too) means "no
        answer for this one".
    :param std: For a Box: standard deviation of a diagonal Gaussian around ``actions``, same shape and units.
    :param logits: For discrete spaces: unnormalized log-probabilities of shape (n, k); k is ``n`` for
        Discrete, ``sum(nvec)`` for MultiDiscrete, the number of bits (log-odds of a one) for MultiBinary.
    """

    actions: np.ndarray
    std: np.ndarray | None = None
    logits: np.ndarray | None = None


class Teacher(ABC):
    """
    Something that knows, more or less well, what to do: a VLA, a scripted controller, an old policy, a server.

    RPD asks a teacher once for each rollout-buffer entry, in batches over environments and time, from a
    background thread. A teacher is therefore a function of the observations that it is given and of its own
    seed; it keeps no memory of an episode.
    """

    #: Whether ``predict`` returns a ``TeacherOutput`` with ``std`` or ``logits``, which the "kl" loss needs.
    gives_distribution: bool = False

    def __repr__(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def setup(self, action_space: spaces.Space) -> None:  # noqa: B027 (optional hook)
        """
        Called once before the first query, in the training process.

        :param action_space: The action space of one environment.
        :raises TeacherError: if this teacher cannot act in that space.
        """

    @abstractmethod
    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray | TeacherOutput:
        """
        Say what to do in each of n situations.

        :param observations: What the environment's ``TeacherActionWrapper`` offers: a dict of arrays, each of
            shape (n, ...), by name. Without that wrapper: the student's own observation, un-normalized and with
            images channels last, as an array of shape (n, \\*observation_space.shape) or a dict of such arrays.
        :param instructions: One instruction for each observation, or None where the environment gives none.
        :return: Actions of shape (n, \\*action_space.shape) in the environment's units, or a ``TeacherOutput``.
        """

    def close(self) -> None:  # noqa: B027 (optional hook)
        """Release what the teacher holds (processes, connections). May be called more than once."""

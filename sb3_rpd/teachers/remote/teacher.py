"""What the teachers that ask a server have in common."""

import logging
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.teachers.remote.links import Batch, Link, LinkPool, masked
from sb3_rpd.teachers.remote.observations import name_observations

logger = logging.getLogger(__name__)


class RemoteTeacher(Teacher):
    """
    Ask a server.

    The first query connects. A question that fails (connection lost, no answer in time, a malformed one) is asked again
    over a new connection for ``patience`` seconds; after that, or when the server itself reports an error, its labels are
    missing (rows of NaN). Only where no question of a query is answered it raises a ``TeacherError``: that ends a training
    whose first query it was, and leaves all labels of a later query missing.

    :param url: The server, for messages.
    :param connections: How many questions are asked at once.
    :param patience: How long a question is asked again, in seconds.
    :param instruction: What to do, where the environment does not say it.
    :param convert_actions: Maps actions of shape (n, ...) from the server's units to the environment's; None where they are
        the same.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        patience: float,
        instruction: str | None,
        convert_actions: Callable[[np.ndarray], np.ndarray] | None,
    ) -> None:
        if connections < 1:
            raise ValueError(f"connections is {connections}; a server is asked over at least one.")
        self.url = url
        self.instruction = instruction
        self.convert_actions = convert_actions
        self._pool = LinkPool(self._make_link, url, connections=connections, patience=patience)
        self._connections = connections

    @abstractmethod
    def _make_link(self) -> Link:
        """:return: A new link to the server, not connected."""

    @abstractmethod
    def _select(self, offered: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """
        :param offered: What the environment offers, by its names.
        :return: What the server gets, by its names.
        :raises TeacherError: if something is missing.
        """

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray | TeacherOutput:
        selected = self._select(name_observations(observations))
        if not selected:
            raise TeacherError(f"The environment offers nothing to ask the server at {self.url} about.")
        whole = Batch(selected, None if instructions is None else list(instructions))
        if instructions is None and self.instruction is not None:
            whole = replace(whole, instructions=[self.instruction] * len(whole))
        share = -(-len(whole) // self._connections)
        size = min(share, self._pool.limits().rows_of(whole))
        batches = [whole.rows(start, start + size) for start in range(0, len(whole), size)]
        outcomes = self._pool.ask_all(batches)
        failures = [outcome for outcome in outcomes if isinstance(outcome, TeacherError)]
        if len(failures) == len(outcomes):
            raise failures[0]
        if failures:
            logger.warning("%d of %d questions have no answer: %s", len(failures), len(outcomes), failures[0])
        output = masked(batches, outcomes)
        actions = output.actions if self.convert_actions is None else self.convert_actions(output.actions)
        return TeacherOutput(actions, std=output.std, logits=output.logits)

    def close(self) -> None:
        self._pool.close()


def signed_gripper(actions: np.ndarray) -> np.ndarray:
    """
    Map the gripper, the last number of each action, from 0 = closed, 1 = open to -1 = closed, +1 = open: from the convention
    of most robot data (and so of OpenVLA and Octo) to that of ManiSkill and other simulators. For ``convert_actions``.

    :param actions: Actions of shape (n, k).
    :return: The same with the last column mapped.
    """
    return np.concatenate([actions[..., :-1], 2.0 * actions[..., -1:] - 1.0], axis=-1)

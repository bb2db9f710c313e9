"""What the teachers that ask a server have in common."""

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.instructions import read_instruction
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.teachers.images import find_images
from sb3_rpd.teachers.remote.links import Link, LinkPool
from sb3_rpd.teachers.units import ConvertActions, make_conversion

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
    :param timeout: How long the server may take to answer, in seconds.
    :param instruction: What to do, where the environment does not say it.
    :param action_index: Which action of the server's action chunk is the one for now.
    :param convert_actions: From the server's units to the environment's.
    """

    def __init__(
        self,
        url: str,
        *,
        connections: int,
        patience: float,
        timeout: float,
        instruction: str | None,
        action_index: int,
        convert_actions: ConvertActions,
    ) -> None:
        if connections < 1:
            raise ValueError(f"connections is {connections}; a server is asked over at least one.")
        self.url = url
        self.timeout = timeout
        self.instruction = (
            None if instruction is None else read_instruction(instruction, f"{type(self).__name__}'s instruction")
        )
        self.action_index = action_index
        self.convert_actions = make_conversion(convert_actions, gives_distribution=self.gives_distribution)
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

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> TeacherOutput:
        whole = Questions(observations, instructions).told(self.instruction)
        selected = self._select(whole.named_observations)
        if not selected:
            raise TeacherError(f"The environment offers nothing to ask the server at {self.url} about.")
        whole = Questions(selected, whole.instructions)
        share = -(-len(whole) // self._connections)
        questions = whole.pieces(min(share, self._pool.limits().rows_of(whole)))
        outcomes = self._pool.ask_all(questions)
        failures = [outcome for outcome in outcomes if isinstance(outcome, TeacherError)]
        if len(failures) == len(outcomes):
            raise failures[0]
        if failures:
            logger.warning("%d of %d questions have no answer: %s", len(failures), len(outcomes), failures[0])
        answers = [outcome if isinstance(outcome, TeacherOutput) else None for outcome in outcomes]
        return self.convert_actions.output(TeacherOutput.merge(answers, questions))

    def _find_images(self, offered: Mapping[str, np.ndarray]) -> str:
        """:return: The name of the environment's images, where the user has named none."""
        cure = "Name the ones that are meant with observation_keys when you make the teacher."
        return find_images(offered, None, seeker=f"The server {self.url}", cure=cure)

    def place_in_chunk(self, length: int) -> int:
        """
        :param length: How many actions a chunk of the server has.
        :return: ``action_index``.
        :raises TeacherError: if that is none of them.
        """
        if not -length <= self.action_index < length:
            raise TeacherError(
                f"The server at {self.url} answers with chunks of {length} actions; action_index is {self.action_index}."
            )
        return self.action_index

    def close(self) -> None:
        self._pool.close()

"""Connections to a server of actions: retries with back-off, several at once, and what happens when one fails for good."""

import logging
import math
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0


class LinkError(Exception):
    """
    A connection broke, timed out or brought nonsense: worth a try with a new one.

    :param cause: What happened, as a part of a sentence.
    :param cure: What to do if it happens however often it is tried.
    """

    def __init__(self, cause: str, cure: str = "Is it running, and is this its address?") -> None:
        super().__init__(cause)
        self.cure = cure


class NoAnswerInTimeError(LinkError):
    """
    A server is there and does not answer in time.

    :param timeout: The time, in seconds.
    """

    def __init__(self, timeout: float) -> None:
        super().__init__(
            f"no answer within {timeout:g} s",
            "The server is there, but slow: a model that loads or compiles itself can take minutes for its first answer. Make "
            f"the teacher with a larger timeout than {timeout:g}.",
        )


class UnreachableError(TeacherError):
    """A server did not answer however often it was tried."""


@dataclass(frozen=True)
class Limits:
    """
    What a server takes in one request.

    :param rows: Observations.
    :param nbytes: Bytes of arrays, None where no limit is known.
    """

    rows: int = 1
    nbytes: int | None = None

    def rows_of(self, questions: Questions) -> int:
        """:return: How many observations of such questions fit into one request; at least one is tried."""
        if self.nbytes is None or questions.bytes_per_row == 0:
            return self.rows
        return max(1, min(self.rows, self.nbytes // questions.bytes_per_row))


class Link(ABC):
    """One connection, used by one thread at a time."""

    limits = Limits()

    @abstractmethod
    def open(self) -> None:
        """
        Connect; ``limits`` holds from then on.

        :raises LinkError: if that may go better another time.
        :raises TeacherError: if it will not.
        """

    @abstractmethod
    def ask(self, questions: Questions) -> TeacherOutput:
        """
        :param questions: What to ask about, within the limits.
        :return: Actions in the server's units, of shape (n, ...), maybe with a distribution.
        :raises LinkError: if the same question may be answered over a new connection.
        :raises TeacherError: if it will not be.
        """

    @abstractmethod
    def close(self) -> None:
        """Drop the connection. May be called more than once, and without ``open``."""


class PatientLink:
    """
    A link that reconnects.

    A question whose connection fails is asked again over a new one, after pauses that grow, for ``patience`` seconds;
    then it has failed for good. While a server stays away, every later question is tried only once.

    :param link: The connection.
    :param url: The server, for messages.
    :param patience: How long a question is tried again, in seconds.
    :param stop: Ends all waiting as soon as it is set.
    """

    def __init__(self, link: Link, url: str, patience: float, stop: threading.Event) -> None:
        self._link = link
        self._url = url
        self._patience = patience
        self._stop = stop
        self._is_open = False
        self._is_away = False

    def limits(self) -> Limits:
        """
        :return: What the server takes in one request.
        :raises TeacherError: if it cannot be reached.
        """
        return self._persist(lambda: self._link.limits)

    def ask(self, questions: Questions) -> TeacherOutput:
        """
        :param questions: What to ask about.
        :return: The answer.
        :raises UnreachableError: if there is none within the time.
        :raises TeacherError: if the server refuses.
        """
        return self._persist(lambda: self._ask_within_limits(questions))

    def close(self) -> None:
        """Drop the connection; another question opens a new one."""
        self._is_open = False
        self._link.close()

    def _ask_within_limits(self, questions: Questions) -> TeacherOutput:
        # those of the present connection: a server that was started again may take less than it did
        pieces = questions.pieces(self._link.limits.rows_of(questions))
        if len(pieces) == 1:
            return self._link.ask(questions)
        return TeacherOutput.merge([self._link.ask(piece) for piece in pieces], pieces)

    def _persist(self, use: Callable[[], _T]) -> _T:
        pause = _FIRST_PAUSE
        deadline = math.inf
        while True:
            try:
                if not self._is_open:
                    self._link.open()
                    self._is_open = True
                answer = use()
            except LinkError as error:
                self.close()
                cause = error
            except Exception:
                self.close()
                raise
            else:
                self._is_away = False
                return answer
            now = time.monotonic()
            if deadline == math.inf:
                deadline = now if self._is_away else now + self._patience
                if not self._is_away:
                    logger.warning("%s: %s; trying again for %g s", self._url, cause, self._patience)
            if now >= deadline or self._stop.wait(min(pause, deadline - now)):
                self._is_away = True
                raise UnreachableError(
                    f"The server at {self._url} gave no answer ({cause}), however often it was tried in {self._patience:g} s. "
                    f"{cause.cure}"
                ) from cause
            pause = min(2 * pause, _LONGEST_PAUSE)


class LinkPool:
    """
    Several links to one server.

    :param make_link: Makes one link; nothing is connected before the first question.
    :param url: The server, for messages.
    :param connections: How many links there are.
    :param patience: How long a question is tried again, in seconds.
    """

    def __init__(self, make_link: Callable[[], Link], url: str, *, connections: int, patience: float) -> None:
        self._stop = threading.Event()
        self._links = [PatientLink(make_link(), url, patience, self._stop) for _ in range(connections)]
        self._executor: ThreadPoolExecutor | None = None

    def limits(self) -> Limits:
        """
        :return: What the server takes in one request, as it said when the first link connected.
        :raises TeacherError: if it cannot be reached.
        """
        self._stop.clear()
        return self._links[0].limits()

    def ask_all(self, batches: Sequence[Questions]) -> list[TeacherOutput | TeacherError]:
        """
        Spread questions over the links.

        A link that cannot reach the server takes no further question of this call, so a server that is away costs one
        try for each link, however many questions there are.

        :param batches: The questions, at least one.
        :return: For each of them the answer, or why there is none.
        """
        self._stop.clear()
        todo = deque(enumerate(batches))
        outcomes: list[TeacherOutput | TeacherError | None] = [None] * len(batches)
        links = self._links[: len(batches)]
        if len(links) == 1:
            _work(links[0], todo, outcomes)
        else:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(len(self._links), thread_name_prefix="rpd-link")
            for worker in [self._executor.submit(_work, link, todo, outcomes) for link in links]:
                worker.result()
        unreachable = [outcome for outcome in outcomes if isinstance(outcome, UnreachableError)]
        return [unreachable[0] if outcome is None else outcome for outcome in outcomes]

    def close(self) -> None:
        """Wait for the answers under way, then drop all connections and threads. The next question opens new ones."""
        self._stop.set()
        if self._executor is not None:
            self._executor.shutdown()
            self._executor = None
        for link in self._links:
            link.close()


def _work(link: PatientLink, todo: deque[tuple[int, Questions]], outcomes: list[TeacherOutput | TeacherError | None]) -> None:
    """Take questions and answer them in place until none is left or the server is away."""
    while True:
        try:
            index, batch = todo.popleft()
        except IndexError:
            return
        try:
            outcomes[index] = link.ask(batch)
        except UnreachableError as error:
            outcomes[index] = error
            return
        except TeacherError as error:
            outcomes[index] = error

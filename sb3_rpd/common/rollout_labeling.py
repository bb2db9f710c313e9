"""Has the teacher asked once for each rollout-buffer entry, in batches, in a background thread."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.label_statistics import LabelStatistics
from sb3_rpd.common.labeling import Labeler, LabelQueries
from sb3_rpd.common.type_aliases import TeacherInfo

#: What is said of a label that the student's action mask rules out.
FORBIDDEN = "it named actions that the environment's action mask forbids"


class RolloutLabeling:
    """
    Labels one rollout; a context manager, which on leaving drops what has not been asked by then.

    Entries are gathered in the order in which they come into batches of exactly ``batch_size``, the last one of the
    rollout excepted. So the batches do not depend on timing: asynchronous and synchronous labeling ask the same
    questions in the same order and give the same labels to the last bit. What the teacher needs (frames) is held until
    its batch is answered and no longer.

    :param labeler: Asks and writes.
    :param buffer: Where the labels go, reset before the first entry is submitted.
    :param batch_size: How many entries the teacher is asked about at once.
    :param asynchronous: Ask in a background thread while the environments run, rather than in the caller's.
    :param is_quick: Whether the teacher is expected to answer in no time. Then it is asked in the caller's thread all the
        same, until it takes longer.
    """

    def __init__(
        self, labeler: Labeler, buffer: TeacherLabelsMixin, *, batch_size: int, asynchronous: bool, is_quick: bool = False
    ) -> None:
        self._labeler = labeler
        self._buffer = buffer
        self._batch_size = batch_size
        self._asynchronous = asynchronous
        self._executor: ThreadPoolExecutor | None = None
        if asynchronous and not is_quick:
            self._start_thread()
        self._gathered = LabelQueries([], [], [])
        self._answers: deque[Future[LabelStatistics]] = deque()
        self._statistics = LabelStatistics()

    def __enter__(self) -> "RolloutLabeling":
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
        self._gathered = LabelQueries([], [], [])
        self._answers.clear()

    def submit(self, step: int, infos: Sequence[TeacherInfo], chosen: np.ndarray) -> None:
        """
        Take the entries of one step.

        :param step: Their position in the rollout.
        :param infos: What the teacher may see, one for each environment.
        :param chosen: Shape (n_envs,), bool: which environments' entries are to be labeled.
        :raises TeacherError: if the first query failed, as soon as that is known.
        """
        envs = chosen.nonzero()[0].tolist()
        with_action = [env for env in envs if "action" in infos[env]]
        if with_action:
            ready = LabelQueries([], [], [])
            ready.extend(step, with_action, infos)
            self._add(self._labeler.take_actions(self._buffer, ready))
            envs = [env for env in envs if "action" not in infos[env]]
        self._gathered.extend(step, envs, infos)
        while len(self._gathered.infos) >= self._batch_size:
            self._ask(self._gathered.pop_first(self._batch_size))
        while self._answers and self._answers[0].done():
            self._add(self._answers.popleft().result())

    def skip(self, count: int, complaint: str | None) -> None:
        """
        Count entries that were chosen and cannot be asked about.

        :param count: How many.
        :param complaint: Why not; None where it is no more than the documentation says.
        """
        if complaint is None:
            self._add(LabelStatistics(unseen=count))
        elif count:
            self._labeler.warn_once(complaint)
            self._add(LabelStatistics(count, count, 0.0, complaint))

    def join(self) -> LabelStatistics:
        """
        Ask about what is left and wait for all answers.

        :return: What labeling the whole rollout took.
        :raises TeacherError: if the first query failed.
        """
        if self._gathered.infos:
            self._ask(self._gathered.pop_first(self._batch_size))
        while self._answers:
            self._add(self._answers.popleft().result())
        if n_forbidden := self._buffer.drop_forbidden_labels():
            self._labeler.warn_once(FORBIDDEN)
            self._add(LabelStatistics(missing=n_forbidden, complaint=FORBIDDEN))
        return self._statistics

    def _ask(self, queries: LabelQueries) -> None:
        if self._executor is not None:
            self._answers.append(self._executor.submit(self._labeler.ask, self._buffer, queries))
            return
        statistics = self._labeler.ask(self._buffer, queries)
        self._add(statistics)
        if self._asynchronous and not statistics.is_quick(self._batch_size):
            self._start_thread()

    def _start_thread(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="rpd-labeler")

    def _add(self, statistics: LabelStatistics) -> None:
        self._statistics = self._statistics.merged(statistics)

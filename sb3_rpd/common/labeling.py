"""Asks the teacher once for each rollout-buffer entry, in batches, in a background thread."""

import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.asking import ask_about, explain_failure, set_up, take_actions
from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.teacher_outputs import CheckedOutput
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wording import cut

#: What is said of a label that the student's action mask rules out.
FORBIDDEN = "it named actions that the environment's action mask forbids"

#: A teacher that needs no more seconds for a batch is quicker asked than handed to a thread.
QUICK_BATCH_SECONDS = 2e-3


class LabelStatistics(NamedTuple):
    """
    What labeling some entries took.

    :param asked: Entries for which the teacher, or a controller in the environment, was to give a label.
    :param missing: Those of them that have none, because the answer failed or was not usable.
    :param seconds: Time spent inside the teacher.
    :param complaint: The first cause of a missing label, None if none is missing.
    :param clipped: The share of its numbers that were clipped to the action space, summed over the labels.
    :param unseen: Entries that have none because nothing was known to ask about, as after loading.
    """

    asked: int = 0
    missing: int = 0
    seconds: float = 0.0
    complaint: str | None = None
    clipped: float = 0.0
    unseen: int = 0

    @property
    def clipped_share(self) -> float:
        """The share of the labels' numbers that were clipped to the action space; 0 where there are no labels."""
        return self.clipped / (self.asked - self.missing) if self.asked > self.missing else 0.0

    @property
    def missing_share(self) -> float:
        """The share of the labels asked for that are missing; 0 where none was asked for."""
        return self.missing / self.asked if self.asked else 0.0

    def is_quick(self, batch_size: int) -> bool:
        """
        :param batch_size: How many entries the teacher is asked about at once.
        :return: Whether the teacher answers in no time.
        """
        return self.seconds * batch_size <= QUICK_BATCH_SECONDS * self.asked

    def merged(self, other: "LabelStatistics") -> "LabelStatistics":
        """:return: The statistics of both together."""
        return LabelStatistics(
            self.asked + other.asked,
            self.missing + other.missing,
            self.seconds + other.seconds,
            self.complaint or other.complaint,
            self.clipped + other.clipped,
            self.unseen + other.unseen,
        )


class LabelQueries(NamedTuple):
    """
    Rollout-buffer entries that wait for their labels, in columns of equal length.

    :param steps: Position of each in the rollout.
    :param envs: Its environment.
    :param infos: What the teacher may see of it.
    """

    steps: list[int]
    envs: list[int]
    infos: list[TeacherInfo]

    def extend(self, step: int, envs: list[int], infos: Sequence[TeacherInfo]) -> None:
        """
        Add entries of one step.

        :param step: Its position in the rollout.
        :param envs: The environments whose entries are added.
        :param infos: What the teacher may see of each environment.
        """
        self.steps.extend([step] * len(envs))
        self.envs.extend(envs)
        self.infos.extend([infos[env] for env in envs])

    def pop_first(self, count: int) -> "LabelQueries":
        """
        :param count: A number of entries.
        :return: That many, or as many as there are, from the front; they are no longer here.
        """
        first = LabelQueries(self.steps[:count], self.envs[:count], self.infos[:count])
        for column in self:
            del column[:count]
        return first


class Labeler:
    """
    Turns a teacher's answers into labels in a rollout buffer.

    :param teacher: Whom to ask; None where controllers in the environments give all actions.
    :param action_space: The action space of one environment.
    :param to_policy_units: Maps actions of shape (n, action_dim) from the environment's units to the policy's.
    :raises TeacherError: if the teacher, or any student of SB3, cannot act in that space.
    """

    def __init__(
        self, teacher: Teacher | None, action_space: spaces.Space, to_policy_units: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        set_up(teacher, action_space)
        self.teacher = teacher
        self.action_space = action_space
        self.to_policy_units = to_policy_units
        self._has_answered = False
        self._has_warned = False

    @property
    def source(self) -> str:
        """Where the labels come from, for messages."""
        return "the controller in the environment" if self.teacher is None else f"the teacher {self.teacher!r}"

    @property
    def gives_distribution(self) -> bool:
        """Whether labels come with a standard deviation or logits."""
        return self.teacher is not None and self.teacher.gives_distribution

    def ask(self, buffer: TeacherLabelsMixin, queries: LabelQueries) -> LabelStatistics:
        """
        Ask the teacher about one batch of entries and write its labels.

        :param buffer: Where the labels go.
        :param queries: The entries.
        :return: What it took.
        :raises TeacherError: if the teacher fails, or answers with a wrong shape or dtype, before it ever answered well.
        """
        return self._label(buffer, queries, self._ask)

    def take_actions(self, buffer: TeacherLabelsMixin, queries: LabelQueries) -> LabelStatistics:
        """
        Write the actions that controllers in the environments have given already.

        :param buffer: Where the labels go.
        :param queries: The entries, each with an ``"action"``.
        :return: What it took.
        :raises TeacherError: if an action has the wrong shape or dtype before any had the right one.
        """
        return self._label(buffer, queries, lambda infos: take_actions(infos, self.action_space))

    def _ask(self, infos: Sequence[TeacherInfo]) -> CheckedOutput:
        if self.teacher is None:
            raise TeacherError("there is no teacher to ask where an environment's controller gives no action")
        return ask_about(self.teacher, infos, self.action_space)

    def _label(
        self,
        buffer: TeacherLabelsMixin,
        queries: LabelQueries,
        answer: Callable[[Sequence[TeacherInfo]], CheckedOutput],
    ) -> LabelStatistics:
        started, n_asked = time.perf_counter(), len(queries.infos)
        try:
            output = answer(queries.infos)
        except Exception as error:
            if not self._has_answered:
                raise TeacherError(
                    f"The first query to {self.source} failed: {explain_failure(error, queries.infos)}."
                ) from error
            complaint = str(error) if isinstance(error, TeacherError) else f"it raised {cut(repr(error))}"
            self.warn_once(complaint)
            return LabelStatistics(n_asked, n_asked, time.perf_counter() - started, complaint)
        self._has_answered = True
        return self._write(buffer, queries, output, time.perf_counter() - started)

    def _write(
        self, buffer: TeacherLabelsMixin, queries: LabelQueries, output: CheckedOutput, seconds: float
    ) -> LabelStatistics:
        steps, envs = np.array(queries.steps), np.array(queries.envs)
        buffer.add_labels(steps, envs, output._replace(actions=self.to_policy_units(output.actions)))
        if output.complaint is not None:
            self.warn_once(output.complaint)
        missing = int(np.isnan(output.actions).any(axis=1).sum())
        clipped = 0.0 if output.clipped is None else float(output.clipped.sum())
        return LabelStatistics(len(steps), missing, seconds, output.complaint, clipped)

    def warn_once(self, complaint: str) -> None:
        """
        Say that labels are missing, if it has not been said.

        :param complaint: Why.
        """
        if self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"Labels are missing from {self.source}: {complaint}. Training goes on without them, the log counts them as "
            "teacher/missing; this is said once.",
            stacklevel=2,
        )


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

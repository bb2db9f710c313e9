"""A teacher in a process of its own, or in several, which does not slow the student's."""

import pickle
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import wait
from multiprocessing.util import Finalize

from gymnasium import spaces

from sb3_rpd.common.deadline import Deadline
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.teachers.made_elsewhere import (
    REPORT_SECONDS,
    Factory,
    check_positive,
    factory_name,
    merge_answers,
    pickle_factory,
    replica_names,
    share_out,
)
from sb3_rpd.teachers.process.handle import stop_all
from sb3_rpd.teachers.process.replica import Replica


class ProcessTeacher(Teacher):
    """
    Another teacher in a process of its own. A thread that is busy in the student's process slows training, a process does not.

    The process is started by ``setup``, which waits until the teacher is ready. It ends with ``close``, with this object, or
    with the process that it belongs to, however that one ends. Observations and answers travel through memory without a
    name, so nothing is left behind. The teacher has as many PyTorch threads as the student has where it is started, and its
    labels are those that it would have given in the student's process, to the last bit.

    If the process dies, or gives no answer in time, it is started again, once. Until it is ready, and for the batch that was
    lost, the answers are NaN: no label. When it dies again every query raises a ``TeacherError`` until the next ``setup``.

    Several replicas share each batch: they answer contiguous parts of it that depend on its size alone. While one is dead
    its part is NaN. Each has a teacher of its own, made by the same factory: the random numbers of one that draws them are
    the same in all.

    The process is spawned, so it imports the program that started it: the program must do its work under
    ``if __name__ == "__main__":``.

    :param factory: What makes the teacher, in its process: the name of a factory, ``"package.module:factory"``, or a callable
        without arguments that can be pickled (a function or class of a module, or ``functools.partial`` of one). It returns a
        teacher, or anything that ``make_teacher`` accepts.
    :param replicas: Number of processes.
    :param start_timeout: Seconds within which the teacher must be ready. A VLA loads for minutes.
    :param timeout: Seconds within which a batch must be answered; after that its process is killed and counts as dead.
    :param verbose: 0 for no output, 1 to print how loading goes on.
    :raises TypeError: if ``factory`` is a teacher, cannot be called without arguments, or cannot be pickled.
    :raises ValueError: if another setting is out of its range.
    """

    def __init__(
        self,
        factory: Factory,
        *,
        replicas: int = 1,
        start_timeout: float = 900.0,
        timeout: float = 600.0,
        verbose: int = 1,
    ) -> None:
        check_positive(replicas=replicas, start_timeout=start_timeout, timeout=timeout)
        self.factory = factory
        self.timeout = timeout
        self.start_timeout = start_timeout
        self.verbose = verbose
        pickled = pickle_factory(factory, type(self).__name__, pickle.dumps)
        self._replicas = [Replica(name, pickled, start_timeout) for name in replica_names(repr(self), replicas)]
        self._action_space: spaces.Space | None = None
        self._lock = threading.Lock()
        # At exit, multiprocessing waits for its processes for ever; what has a priority comes before that
        Finalize(self, _stop, args=(self._replicas,), exitpriority=10)

    def __repr__(self) -> str:
        return f"ProcessTeacher({factory_name(self.factory)})"

    @property
    def pids(self) -> list[int | None]:
        """The ids of the replicas' processes, None where there is none."""
        return [None if replica.process is None else replica.process.pid for replica in self._replicas]

    def setup(self, action_space: spaces.Space) -> None:
        with self._lock:
            self._action_space = None
            try:
                has_started = [replica.begin(action_space) for replica in self._replicas]
                self._wait_until_ready(says_so=any(has_started))
            except BaseException:
                _stop(self._replicas)
                raise
            self._action_space = action_space
            self.gives_distribution = self._replicas[0].gives_distribution
            self.takes_action_masks = self._replicas[0].takes_action_masks

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> TeacherOutput:
        with self._lock:
            if self._action_space is None:
                raise TeacherError(f"{self!r} has no process before setup(action_space) and after close().")
            return self._predict(Questions(observations, instructions), self._action_space)

    def close(self) -> None:
        with self._lock:
            self._action_space = None
            _stop(self._replicas)

    def _wait_until_ready(self, says_so: bool) -> None:
        started = time.monotonic()
        report = started + REPORT_SECONDS
        while loading := [replica for replica in self._replicas if not replica.is_ready]:
            limits = [report - time.monotonic(), *(replica.loading.left() for replica in loading)]
            wait([event for replica in loading for event in replica.events], max(0.0, min(limits)))
            for replica in loading:
                replica.check_loading()
            if time.monotonic() >= report:
                report += REPORT_SECONDS
                self._say(f"has been loading for {time.monotonic() - started:.0f} s, of {self.start_timeout:g} s at most")
        if says_so:
            self._say(f"is ready after {time.monotonic() - started:.1f} s")

    def _say(self, what: str) -> None:
        if self.verbose:
            print(f"{self!r} {what}", flush=True)

    def _predict(self, questions: Questions, action_space: spaces.Space) -> TeacherOutput:
        deadline = Deadline.after("timeout", self.timeout)
        parts = share_out(self._replicas, questions)
        asked = [replica.ask(part, deadline) for replica, part in parts]
        answers: list[TeacherOutput | None] = []
        errors: list[TeacherError] = []
        for (replica, _), will_answer in zip(parts, asked, strict=True):
            try:
                answers.append(replica.answer(deadline) if will_answer else None)
            except TeacherError as error:
                errors.append(error)
        if errors:
            raise errors[0]
        if all(replica.failure is not None for replica, _ in parts):
            raise TeacherError(str(parts[0][0].failure))
        return merge_answers(answers, [part for _, part in parts], action_space, self.gives_distribution)


def _stop(replicas: Sequence[Replica]) -> None:
    stop_all([replica.process for replica in replicas if replica.process is not None])
    for replica in replicas:
        replica.process = None
        replica.is_ready = False

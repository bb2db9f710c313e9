"""A process with a teacher in it, as seen by the process that asks: start, ask, wait for a reply, stop."""

import contextlib
import multiprocessing
import signal
from collections.abc import Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

import torch as th

from sb3_rpd.common.deadline import Deadline
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers.made_elsewhere import GRACE_SECONDS, Failed, Ready
from sb3_rpd.teachers.process.shared_arrays import SharedArrays
from sb3_rpd.teachers.process.worker import (
    Answer,
    Reply,
    Request,
    Setup,
    decode_output,
    encode_questions,
    serve,
)


class ProcessDiedError(Exception):
    """The process is gone. The message is what happened, as the end of a sentence that begins with "the process"."""


class TeacherProcess:
    """
    One process with a teacher in it. The constructor starts it and does not wait for it.

    Each request has one reply, for which ``receive`` waits. A reply for which nobody waited, because of a Ctrl-C say, is
    awaited and dropped before the next request: request and reply use the same memory.

    :param factory: What makes the teacher, pickled.
    """

    def __init__(self, factory: bytes) -> None:
        self._arrays = SharedArrays()
        self._awaits_reply = False
        self._has_teacher = False
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        arguments = (theirs, self._arrays, factory, th.get_num_threads())
        self._process = context.Process(target=serve, args=arguments, name="rpd-teacher")
        try:
            _start_without_sigint(self._process)
        except BaseException:
            # A Ctrl-C, say, which waited until the process was there
            if self._process.pid is not None:
                self.kill()
            self._let_go()
            raise
        finally:
            # So that the pipe ends for this process when the other one does
            theirs.close()

    @property
    def pid(self) -> int | None:
        """The process's id."""
        return self._process.pid

    @property
    def events(self) -> list[Connection | int]:
        """What ``multiprocessing.connection.wait`` can wait for: a reply, or the end of the process."""
        return [self._connection, self._process.sentinel]

    def has_news(self) -> bool:
        """:return: Whether there is a reply, or the end of the process to be told."""
        return bool(wait(self.events, 0))

    def check_alive(self) -> None:
        """:raises ProcessDiedError: if the process is dead."""
        if not self._process.is_alive():
            raise ProcessDiedError(_what_happened(self._process))

    def ask(self, request: Setup | Questions, deadline: Deadline) -> None:
        """
        Send a request and do not wait for its reply.

        :param request: The request.
        :param deadline: Until when to wait for a reply that is still open.
        :raises ProcessDiedError: if that one does not come.
        :raises TeacherError: if an observation cannot be shared.
        """
        if self._awaits_reply:
            self.receive(deadline)
        message: Request = encode_questions(self._arrays, request) if isinstance(request, Questions) else request
        self._awaits_reply = True
        # If the process is dead, ``receive`` tells so
        with contextlib.suppress(ConnectionError):
            self._connection.send(message)

    def receive(self, deadline: Deadline) -> TeacherOutput | Ready | Failed:
        """
        Wait for the reply to the last request.

        :param deadline: Until when. After that the process is killed.
        :return: The reply.
        :raises ProcessDiedError: if the process is dead.
        """
        news = wait(self.events, deadline.left())
        if not news:
            self.kill()
            raise ProcessDiedError(f"gave no answer within {deadline.name}={deadline.seconds:g} seconds and was killed")
        try:
            # A process of the teacher's own may hold the pipe open
            if self._connection not in news:
                raise EOFError
            reply: Reply = self._connection.recv()
        except (EOFError, ConnectionError):
            self._process.join(GRACE_SECONDS)
            raise ProcessDiedError(_what_happened(self._process)) from None
        self._awaits_reply = False
        self._has_teacher = self._has_teacher or isinstance(reply, Ready)
        return decode_output(self._arrays, reply) if isinstance(reply, Answer) else reply

    def say_goodbye(self) -> None:
        """Let the process leave when it has done what it is doing. Where there is no teacher yet, at once."""
        if not self._has_teacher:
            self._process.kill()
        # It may be dead
        with contextlib.suppress(OSError):
            self._connection.send(None)

    def kill(self, grace: float = 0.0) -> None:
        """
        End the process and let go of what was shared with it. May be called again.

        :param grace: Seconds to wait for it to end by itself.
        """
        self._process.join(grace)
        self._process.kill()
        self._process.join()
        self._let_go()

    def _let_go(self) -> None:
        self._connection.close()
        self._arrays.close()


def stop_all(processes: Sequence[TeacherProcess]) -> None:
    """
    End processes, with some time for their teachers to close.

    :param processes: The processes.
    """
    for process in processes:
        process.say_goodbye()
    deadline = Deadline.after("grace", GRACE_SECONDS)
    for process in processes:
        process.kill(deadline.left())


def _start_without_sigint(process: BaseProcess) -> None:
    """
    Start a process that gets no SIGINT before it ignores it: a signal that is blocked here is blocked in what is spawned.

    :param process: The process.
    """
    # Starting it would unblock SIGINT
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _what_happened(process: BaseProcess) -> str:
    code = process.exitcode
    if code is None:
        return "closed its pipe"
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was killed by {signal.Signals(-code).name}" if -code in set(signal.Signals) else f"was killed by signal {-code}"

"""One of the processes of a ``ProcessTeacher``, which is started again once if it dies."""

import warnings
from multiprocessing.connection import Connection

from gymnasium import spaces

from sb3_rpd.common.deadline import Deadline
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers.made_elsewhere import Ready
from sb3_rpd.teachers.process.handle import ProcessDiedError, TeacherProcess
from sb3_rpd.teachers.process.worker import Setup


class Replica:
    """
    A teacher in a process that loads, is ready, or has failed for good.

    :param name: How messages call it.
    :param factory: What makes the teacher, pickled.
    :param start_timeout: Seconds within which a new process must be ready.
    """

    def __init__(self, name: str, factory: bytes, start_timeout: float) -> None:
        self.name = name
        #: None before the first ``begin`` and after the end.
        self.process: TeacherProcess | None = None
        self.is_ready = False
        self.gives_distribution = False
        self.takes_action_masks = False
        #: Why there will be no answer any more.
        self.failure: str | None = None
        #: Until when the present process must be ready.
        self.loading = Deadline.after("start_timeout", start_timeout)
        self._factory = factory
        self._start_timeout = start_timeout
        self._may_restart = True

    def begin(self, action_space: spaces.Space) -> bool:
        """
        Have the teacher prepare for an action space, in a new process unless one is running; do not wait for it.

        :param action_space: The action space of one environment.
        :return: Whether a process was started.
        """
        self._setup = Setup(action_space)
        self._may_restart, self.is_ready, self.failure = True, False, None
        if self.process is not None:
            try:
                self.process.check_alive()
                self.loading = Deadline.after("start_timeout", self._start_timeout)
                self.process.ask(self._setup, self.loading)
                return False
            except ProcessDiedError:
                self.process.kill()
        self._start()
        return True

    def check_loading(self) -> None:
        """
        See whether the teacher is ready, without waiting.

        :raises TeacherError: if it will not be.
        """
        if self.is_ready or not (self._process.has_news() or self.loading.left() == 0):
            return
        try:
            reply = self._process.receive(self.loading)
        except ProcessDiedError as error:
            raise TeacherError(
                f"The process of {self.name} {error} before the teacher was ready. What it wrote on standard error may say "
                "why. A program that starts processes must do its work under `if __name__ == '__main__':`, since each of them "
                "imports the program."
            ) from None
        if not isinstance(reply, Ready):
            raise TeacherError(f"{self.name} could not be made ready; in its process:\n{reply}")
        self.is_ready = True
        self.gives_distribution, self.takes_action_masks = reply

    def ask(self, questions: Questions, deadline: Deadline) -> bool:
        """
        Ask, if there is somebody to ask, and do not wait for the answer.

        :param questions: The questions.
        :param deadline: Until when to wait for an answer that is still open.
        :return: Whether there will be an answer.
        """
        if self.failure is not None:
            return False
        try:
            if self.is_ready:
                self._process.check_alive()
                self._process.ask(questions, deadline)
            else:
                self._go_on_loading(questions, deadline)
        except ProcessDiedError as error:
            self._lose(str(error))
        return self.is_ready

    def answer(self, deadline: Deadline) -> TeacherOutput | None:
        """
        Wait for the answer to what was asked.

        :param deadline: Until when.
        :return: The answer; None if the process died instead.
        :raises TeacherError: if the teacher raised an exception.
        """
        try:
            reply = self._process.receive(deadline)
        except ProcessDiedError as error:
            self._lose(str(error))
            return None
        if not isinstance(reply, TeacherOutput):
            raise TeacherError(f"{self.name} raised an exception; in its process:\n{reply}")
        return reply

    @property
    def events(self) -> list[Connection | int]:
        """See ``TeacherProcess.events``."""
        return self._process.events

    @property
    def _process(self) -> TeacherProcess:
        assert self.process is not None
        return self.process

    def _start(self) -> None:
        self.loading = Deadline.after("start_timeout", self._start_timeout)
        self.process = TeacherProcess(self._factory)
        self.process.ask(self._setup, self.loading)

    def _go_on_loading(self, questions: Questions, deadline: Deadline) -> None:
        try:
            self.check_loading()
        except TeacherError as error:
            self._give_up(str(error))
            return
        if self.is_ready:
            self._process.ask(questions, deadline)

    def _lose(self, cause: str) -> None:
        self._process.kill()
        self.is_ready = False
        if not self._may_restart:
            self._give_up(f"The process of {self.name} {cause}. It had been started again once before")
            return
        self._may_restart = False
        warnings.warn(
            f"The process of {self.name} {cause}. It is started again, once; until it is ready there are no labels from it.",
            stacklevel=2,
        )
        self._start()

    def _give_up(self, cause: str) -> None:
        self._process.kill()
        self.failure = cause
        warnings.warn(f"{cause}; there will be no more labels from it.", stacklevel=2)

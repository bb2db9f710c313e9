"""One of the actors of a ``RayTeacher``, as seen by the process that asks."""

import contextlib
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import torch as th

from sb3_rpd.common.deadline import Deadline
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.common.wording import cut
from sb3_rpd.teachers.made_elsewhere import Failed, Ready
from sb3_rpd.teachers.ray.actor import Reply, Setup, TeacherActor


class ReplicaLostError(Exception):
    """Ray has given the actor up, or it was killed for being late. The message is why, as the end of a sentence about it."""


class RayReplica:
    """
    A teacher in an actor, which Ray starts again if it dies, with the questions that it has not answered.

    :param ray: The module, connected to a cluster.
    :param name: How messages call it.
    :param factory: What makes the teacher, pickled.
    :param options: The actor's options, as ``ray.remote`` takes them.
    """

    def __init__(self, ray: ModuleType, name: str, factory: bytes, options: Mapping[str, Any]) -> None:
        self.name = name
        #: The id of its process, None before the first reply.
        self.pid: int | None = None
        self._ray = ray
        self._actor = ray.remote(**options)(TeacherActor).remote(factory, th.get_num_threads())

    def prepare(self, setup: Setup) -> Any:
        """:return: The reference of a reply, in which the teacher is ready."""
        return self._actor.prepare.remote(setup)

    def ask(self, setup: Setup, questions: Questions) -> Any:
        """:return: The reference of a reply, in which there is an answer."""
        return self._actor.answer.remote(setup, questions)

    def receive(self, reference: Any, deadline: Deadline) -> Ready | TeacherOutput:
        """
        Wait for a reply.

        :param reference: Its reference.
        :param deadline: Until when.
        :return: What it says.
        :raises ReplicaLostError: if the actor is dead for good, or too late, and then dead as well.
        :raises TeacherError: if the teacher raised an exception.
        """
        try:
            reply: Reply = self._ray.get(reference, timeout=deadline.left())
        except self._ray.exceptions.GetTimeoutError:
            self.kill()
            raise ReplicaLostError(
                f"gave no answer within {deadline.name}={deadline.seconds:g} seconds and was killed"
            ) from None
        except self._ray.exceptions.RayError as error:
            self.kill()
            raise ReplicaLostError(f"is dead: {cut(str(error).strip().splitlines()[-1])}") from error
        if self.pid not in (None, reply.pid):
            warnings.warn(f"The actor of {self.name} died. Ray has started it again, and asked it again.", stacklevel=2)
        self.pid = reply.pid
        if isinstance(reply.content, Failed):
            raise TeacherError(f"{self.name} raised an exception; in its actor:\n{reply.content}")
        return reply.content

    def say_goodbye(self) -> Any:
        """:return: The reference of a reply, in which the teacher has closed."""
        return self._actor.close.remote()

    def kill(self) -> None:
        """End the actor for good."""
        # It may be dead
        with contextlib.suppress(self._ray.exceptions.RayError):
            self._ray.kill(self._actor)

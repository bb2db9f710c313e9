"""What runs in a teacher's own process: it makes the teacher and answers one request after the other."""

import faulthandler
import json
import os
import signal
import threading
import time
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import parent_process
from typing import NamedTuple, TypeAlias

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput, ask_teacher
from sb3_rpd.teachers.made_elsewhere import GRACE_SECONDS, Failed, Ready, attempt, prepare, unpickle_teacher
from sb3_rpd.teachers.process.shared_arrays import Placement, SharedArrays


class Setup(NamedTuple):
    """Request: prepare for this action space."""

    action_space: spaces.Space


class SharedQuestions(NamedTuple):
    """
    Request: say what to do. ``Questions`` whose arrays are in shared memory.

    :param placements: Where the observations are, and after them the instructions if there are any.
    :param names: The names of the observations, None for a single array without a name.
    :param has_instructions: Whether there are instructions.
    """

    placements: list[Placement]
    names: list[str] | None
    has_instructions: bool


class Answer(NamedTuple):
    """
    Reply to ``SharedQuestions``.

    :param placements: Where the arrays are.
    :param fields: What they are: names of ``TeacherOutput``'s fields.
    """

    placements: list[Placement]
    fields: list[str]


Request: TypeAlias = Setup | SharedQuestions
Reply: TypeAlias = Ready | Answer | Failed


def serve(connection: Connection, arrays: SharedArrays, factory: bytes, n_threads: int) -> None:
    """
    Make a teacher and answer until the asking process says that it is over, or is over itself.

    :param connection: Requests come and replies go here, one reply to each request.
    :param arrays: Memory for the arrays of a request and of its reply.
    :param factory: What makes the teacher: a pickled callable without arguments or the name of one.
    :param n_threads: Number of threads for PyTorch.
    """
    # A Ctrl-C reaches all processes of a terminal. The asking process decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    faulthandler.enable()
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    th.set_num_threads(n_threads)
    teacher = attempt(partial(unpickle_teacher, factory))
    if isinstance(teacher, Failed):
        _send(connection, teacher)
        return
    try:
        while (request := _receive(connection)) is not None:
            if not _send(connection, attempt(partial(_reply, teacher, arrays, request))):
                break
    finally:
        teacher.close()


def encode_questions(arrays: SharedArrays, questions: Questions) -> SharedQuestions:
    """
    Put questions into shared memory.

    :param arrays: The memory.
    :param questions: The questions.
    :return: The request that goes with them.
    :raises TeacherError: if an observation cannot be shared.
    """
    names = list(questions.observations) if isinstance(questions.observations, dict) else None
    content = [np.asarray(array) for array in questions.named_observations.values()]
    if questions.instructions is not None:
        content.append(np.frombuffer(json.dumps(list(questions.instructions)).encode(), dtype=np.uint8))
    return SharedQuestions(arrays.write(content), names, questions.instructions is not None)


def _decode_questions(arrays: SharedArrays, shared: SharedQuestions) -> Questions:
    content = arrays.read(shared.placements)
    instructions = json.loads(content.pop().tobytes()) if shared.has_instructions else None
    return Questions(content[0] if shared.names is None else dict(zip(shared.names, content, strict=True)), instructions)


def _encode_output(arrays: SharedArrays, output: TeacherOutput) -> Answer:
    given = {name: array for name, array in vars(output).items() if array is not None}
    return Answer(arrays.write([np.asarray(array) for array in given.values()]), list(given))


def decode_output(arrays: SharedArrays, answer: Answer) -> TeacherOutput:
    """
    Take an answer out of shared memory.

    :param arrays: The memory.
    :param answer: The reply that came with it.
    :return: What the teacher said.
    """
    return TeacherOutput(**dict(zip(answer.fields, arrays.read(answer.placements), strict=True)))


def _reply(teacher: Teacher, arrays: SharedArrays, request: Request) -> Reply:
    if isinstance(request, Setup):
        return prepare(teacher, request.action_space)
    return _encode_output(arrays, ask_teacher(teacher, _decode_questions(arrays, request)))


def _receive(connection: Connection) -> Request | None:
    """:return: The next request; None if there will be none, because the other end said so or is gone."""
    try:
        request: Request | None = connection.recv()
    except (EOFError, ConnectionError):
        return None
    return request


def _send(connection: Connection, reply: Reply) -> bool:
    """:return: Whether the other end is still there."""
    try:
        connection.send(reply)
    except ConnectionError:
        return False
    return True


def _leave_with_parent() -> None:
    """
    End this process some time after its parent, whatever the teacher is busy with.

    An idle teacher sees that its pipe is closed. One that loads or computes does not, nor does one whose pipe was inherited by
    a process that its parent has forked, so the parent itself is watched.
    """
    parent = parent_process()
    assert parent is not None
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(1.0)
    time.sleep(GRACE_SECONDS)
    os._exit(1)

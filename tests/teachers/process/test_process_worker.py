"""The teacher's process beside its parent: it outlives Ctrl-C, and not its parent, and leaves nothing behind."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import process_teachers
import pytest
from watched_processes import PATIENCE, is_gone, processes_of_session, wait_until

PARENT = """
import signal
import time
import numpy as np
from gymnasium import spaces
from sb3_rpd.teachers import ProcessTeacher
# What a shell starts in the background ignores Ctrl-C
signal.signal(signal.SIGINT, signal.default_int_handler)
teacher = ProcessTeacher("process_teachers:{factory}", verbose=0)
teacher.setup(spaces.Box(-1.0, 1.0, (2,)))
teacher.predict(np.zeros((1000, 2)))
try:
    teacher.predict(np.zeros((1, 2)), ["{instruction}"])
except KeyboardInterrupt:
    print("interrupted", flush=True)
print(teacher.predict(np.full((1, 2), 0.25)).actions.tolist(), flush=True)
time.sleep({then_sleep})
"""


def forgotten_memory() -> set[str]:
    """What is in /dev/shm and mapped by no process: not what other programs are at work with."""
    names = set(os.listdir("/dev/shm"))
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            names -= set(re.findall(r"/dev/shm/(\S+)$", maps.read_text(), flags=re.MULTILINE))
    return names


@pytest.fixture
def start_parent() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """What starts a program that has a ``ProcessTeacher``, in a session of its own, which must be empty in the end."""
    before = forgotten_memory()
    started = []

    def start(factory: str, instruction: str = "", then_sleep: float = 0) -> "subprocess.Popen[str]":
        program = PARENT.format(factory=factory, instruction=instruction, then_sleep=then_sleep)
        parent = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=Path(process_teachers.__file__).parent,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        started.append(parent)
        return parent

    yield start
    try:
        for parent in started:
            wait_until(lambda: not processes_of_session(parent.pid), "the end of all processes")  # noqa: B023
        wait_until(lambda: forgotten_memory() <= before, "nothing new that is forgotten in /dev/shm")
    finally:
        for parent in started:
            for pid in processes_of_session(parent.pid):
                os.kill(pid, signal.SIGKILL)
            parent.communicate()


@pytest.mark.parametrize("is_busy", [True, False])
def test_nothing_is_left_of_a_parent_that_is_killed(start_parent: Callable[..., Any], is_busy: bool) -> None:
    parent = start_parent("box_player", "echo_slowly 600" if is_busy else "echo_slowly 0", then_sleep=600)
    assert parent.stdout.readline() == "asked\n"
    if not is_busy:
        assert parent.stdout.readline() == "[[0.25, 0.25]]\n"
    assert len(processes_of_session(parent.pid)) >= 2
    parent.kill()
    assert parent.communicate(timeout=PATIENCE)[1] == ""


def test_ctrl_c_in_a_query_leaves_the_teacher_alive(start_parent: Callable[..., Any]) -> None:
    parent = start_parent("box_player", "echo_slowly 2")
    assert parent.stdout.readline() == "asked\n"
    os.killpg(parent.pid, signal.SIGINT)
    output, errors = parent.communicate(timeout=PATIENCE)

    # The late answer to the first question is not taken for the answer to the second
    assert output == "interrupted\n[[0.25, 0.25]]\n"
    # Neither the teacher nor the exit without close() has anything to say
    assert errors == ""
    assert parent.returncode == 0


def importing_process(session: int) -> list[int]:
    """The spawned processes of a session that have got as far as numpy."""
    found = []
    for pid in processes_of_session(session):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            is_spawned = "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
            if is_spawned and "numpy" in Path(f"/proc/{pid}/maps").read_text():
                found.append(pid)
    return found


def ignores_sigint(pid: int) -> bool:
    assert not is_gone(pid)
    (mask,) = re.findall(r"^SigIgn:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), flags=re.MULTILINE)
    return bool(int(mask, 16) & 1 << signal.SIGINT - 1)


def test_ctrl_c_while_loading(start_parent: Callable[..., Any]) -> None:
    parent = start_parent("sleeper")
    # Late enough for Python to have a handler of SIGINT, early enough for the teacher's process not to ignore it by itself
    wait_until(lambda: importing_process(parent.pid), "the teacher's process")
    (teacher,) = importing_process(parent.pid)
    os.kill(teacher, signal.SIGINT)
    wait_until(lambda: ignores_sigint(teacher), "the teacher's process loads its teacher")
    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=PATIENCE)

    assert errors.count("Traceback") == errors.count("KeyboardInterrupt") == 1, errors
    assert parent.returncode == -signal.SIGINT

"""A process that dies: what it was asked is missing, it is started again once, and others go on."""

import os
import signal
import warnings

import numpy as np
import pytest
from gymnasium import spaces
from process_teachers import PlayTeacher
from watched_processes import PATIENCE, is_gone, wait_until

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher_outputs import check_teacher_output
from sb3_rpd.teachers import ProcessTeacher

BOX = spaces.Box(-1.0, 1.0, (2,))


def until_answered(teacher: ProcessTeacher, observations: np.ndarray) -> np.ndarray:
    """Ask until there is an answer; before that all the rows that are missing must be NaN, and at once."""
    answers: list[np.ndarray] = []

    def is_answered() -> bool:
        answers.append(teacher.predict(observations).actions)
        return not np.isnan(answers[-1]).any()

    wait_until(is_answered, "an answer from the new process")
    return answers[-1]


def test_a_teacher_that_dies_is_started_again_once() -> None:
    teacher = ProcessTeacher(PlayTeacher, verbose=0)
    teacher.setup(BOX)
    x = np.array([[0.5, -0.25], [0.125, 1.0]])
    (pid,) = teacher.pids

    # Killed by itself, in the middle of a batch
    with pytest.warns(UserWarning, match=r"was killed by SIGSEGV\. It is started again, once"):
        lost = teacher.predict(x, ["crash"] * 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        meanwhile = teacher.predict(x)
    for answer in (lost, meanwhile):
        assert answer.actions.dtype == np.float32
        np.testing.assert_array_equal(answer.actions, np.full((2, 2), np.nan))
        assert check_teacher_output(answer, BOX, 2).complaint.startswith("2 of 2 answers have NaN")
    np.testing.assert_array_equal(until_answered(teacher, x), x)
    (second_pid,) = teacher.pids
    assert second_pid != pid
    assert is_gone(pid)

    # Killed for being late: for good
    teacher.timeout = 0.5
    with pytest.warns(UserWarning, match="there will be no more labels"):  # noqa: SIM117
        with pytest.raises(TeacherError, match=r"no answer within timeout=0\.5 seconds and was killed.*once before"):
            teacher.predict(x, ["echo_slowly 600"] * 2)
    with pytest.raises(TeacherError, match="once before"):
        teacher.predict(x)
    assert is_gone(second_pid)

    # A new setup is a new beginning
    teacher.timeout = PATIENCE
    teacher.setup(BOX)
    np.testing.assert_array_equal(teacher.predict(x).actions, x)
    teacher.close()


def test_replicas_share_a_batch_and_lose_only_their_part() -> None:
    teacher = ProcessTeacher(PlayTeacher, replicas=2, verbose=0)
    space = spaces.Discrete(5)
    teacher.setup(space)
    first, second = teacher.pids
    descriptions = teacher.predict({"frame": np.zeros((5, 1))}, ["describe"] * 5).actions
    assert descriptions[:, 2].tolist() == [first, first, second, second, second]
    assert teacher.predict(np.array([4, 0, 1, 2, 3])).actions.tolist() == [4, 0, 1, 2, 3]
    assert teacher.predict(np.array([4])).actions.tolist() == [4]

    os.kill(second, signal.SIGKILL)
    wait_until(lambda: is_gone(second), "the end of the second replica")
    with pytest.warns(UserWarning, match=r"replica 2 of 2, was killed by SIGKILL"):
        masked = teacher.predict(np.array([4, 0, 1, 2, 3]))
    np.testing.assert_array_equal(masked.actions, [4, 0, np.nan, np.nan, np.nan])
    # A discrete action has no NaN of its own, and yet a row may be without a label
    checked = check_teacher_output(masked, space, 5)
    np.testing.assert_array_equal(checked.actions[:, 0], [4, 0, np.nan, np.nan, np.nan])

    assert until_answered(teacher, np.array([4, 0, 1, 2, 3])).tolist() == [4, 0, 1, 2, 3]
    pids = teacher.pids
    assert pids[0] == first
    del teacher  # which ends its processes, as close() does
    wait_until(lambda: all(is_gone(pid) for pid in pids if pid is not None), "the end of the processes")

"""ProcessTeacher with real processes: the same labels as without, and nothing left behind however one of them ends."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import process_teachers
import pytest
from gymnasium import spaces
from process_teachers import PlayTeacher
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import naming_env

from sb3_rpd import RPD
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher_outputs import check_teacher_output
from sb3_rpd.teachers import ProcessTeacher, TeacherOutput, make_teacher
from sb3_rpd.teachers.process import teacher as process_teacher

BOX = spaces.Box(-1.0, 1.0, (2,))
#: Seconds that anything may take on a busy machine.
PATIENCE = 90.0


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def processes_of_session(session: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    found = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3]) == session and not is_gone(pid):
                found.append(pid)
    return found


@pytest.fixture(scope="module")
def player() -> Iterator[ProcessTeacher]:
    teacher = ProcessTeacher(PlayTeacher, verbose=0)
    teacher.setup(BOX)
    yield teacher
    teacher.close()


# ---------------------------------------------------------------- what is asked and answered


def test_observations_and_instructions_arrive(player: ProcessTeacher) -> None:
    rng = np.random.default_rng(0)
    texts = ["describe", "hebe den Würfel", "\N{SNOWMAN}"]
    for side in (2, 90, 8):  # grows and shrinks
        frames = rng.integers(0, 256, (3, side, side, 3), dtype=np.uint8)
        answer = player.predict({"x": np.zeros((3, 2)), "frame": frames}, texts).actions

        # By hand: the teacher may write in its arrays, has no gradients and as many threads as there are here
        facts = [player.pids[0], 0, 1, 1]
        expected = [[frame.sum(dtype=np.int64), len(text), *facts] for frame, text in zip(frames, texts, strict=True)]
        np.testing.assert_array_equal(answer, expected)
    assert player.pids[0] != os.getpid()


def test_a_distribution_comes_back(player: ProcessTeacher) -> None:
    actions = np.array([[0.25, -0.5], [np.nan, 1.0]], np.float32)
    answer = player.predict(actions)

    assert player.gives_distribution
    assert isinstance(answer, TeacherOutput)
    assert answer.actions.tobytes() == actions.tobytes()
    assert answer.actions.dtype == np.float32
    np.testing.assert_array_equal(answer.std, [[0.5, 0.5], [0.5, 0.5]])


def test_an_answer_may_be_larger_than_its_question(player: ProcessTeacher) -> None:
    answer = player.predict(np.zeros((2, 1)), ["enlarge 40000"] * 2).actions
    np.testing.assert_array_equal(answer, np.arange(80_000.0).reshape(2, 40_000))


def test_an_exception_is_told_with_its_traceback(player: ProcessTeacher) -> None:
    pid = player.pids[0]
    with pytest.raises(TeacherError, match=r"(?s)raised an exception.*in fail\n.*UnpicklableError: a VLA has its moods"):
        player.predict(np.zeros((1, 2)), ["fail"])
    with pytest.raises(TeacherError, match="dtype object cannot be shared"):
        player.predict(np.array([None]))
    np.testing.assert_array_equal(player.predict(np.ones((1, 2))).actions, [[1, 1]])
    assert player.pids == [pid]


def test_setup_again_keeps_the_process(player: ProcessTeacher, capsys: pytest.CaptureFixture[str]) -> None:
    pids = player.pids
    player.setup(spaces.Discrete(3))
    try:
        answer = player.predict(np.array([2, 0, 1])).actions
    finally:
        player.setup(BOX)
    assert answer.dtype == np.int64
    assert answer.tolist() == [2, 0, 1]
    assert player.pids == pids


# ---------------------------------------------------------------- labels through RPD


def labels_of(teacher: Any, asynchronously: bool) -> tuple[np.ndarray, np.ndarray]:
    env = DummyVecEnv([naming_env(i) for i in range(3)])
    model = RPD(
        "MlpPolicy", env, n_steps=11, batch_size=11, n_epochs=1, seed=0, device="cpu", teacher=teacher, label_batch_size=8,
        label_asynchronously=asynchronously,
    )  # fmt: skip
    labels = []
    for _ in range(2):
        model.learn(33, reset_num_timesteps=False)
        labels.append(model.rollout_buffer.teacher_actions.copy())
    parameters = np.concatenate([parameter.detach().numpy().ravel() for parameter in model.policy.parameters()])
    return np.stack(labels), parameters


@pytest.mark.parametrize(("factory", "replicas"), [("network_teacher", 1), ("elementwise_teacher", 2)])
def test_labels_are_those_of_the_same_teacher_here(factory: str, replicas: int) -> None:
    labels, parameters = labels_of(make_teacher(f"process_teachers:{factory}"), asynchronously=True)
    assert labels.shape == (2, 11, 3, 3)
    assert np.isfinite(labels).all()

    teacher = ProcessTeacher(f"process_teachers:{factory}", replicas=replicas, verbose=0)
    for asynchronously in (True, False):
        their_labels, their_parameters = labels_of(teacher, asynchronously)
        assert their_labels.tobytes() == labels.tobytes()
        assert their_parameters.tobytes() == parameters.tobytes()
    teacher.close()


# ---------------------------------------------------------------- a teacher that does not start


def test_what_is_no_factory_is_refused() -> None:
    with pytest.raises(TypeError, match=r"makes its teacher in the new process.*this PlayTeacher.*package\.module:factory"):
        ProcessTeacher(PlayTeacher())
    with pytest.raises(TypeError, match="this int"):
        ProcessTeacher(3)
    with pytest.raises(TypeError, match=r"without arguments.*'observations'"):
        ProcessTeacher(np_mean_of)
    with pytest.raises(TypeError, match="cannot be sent to another process"):
        ProcessTeacher(lambda: PlayTeacher())
    for name in ("replicas", "timeout", "start_timeout"):
        with pytest.raises(ValueError, match=f"{name}=0 must be positive"):
            ProcessTeacher(PlayTeacher, **{name: 0})


def np_mean_of(observations: np.ndarray) -> np.ndarray:
    return observations.mean(axis=1, keepdims=True)


def test_names() -> None:
    assert repr(ProcessTeacher("package.module:factory")) == "ProcessTeacher(package.module:factory)"
    assert repr(ProcessTeacher(process_teachers.broken)) == "ProcessTeacher(process_teachers:broken)"
    assert repr(ProcessTeacher(partial(PlayTeacher, None))) == "ProcessTeacher(process_teachers:PlayTeacher)"


@pytest.mark.parametrize(
    ("factory", "start_timeout", "complaint"),
    [
        ("broken", PATIENCE, r"process_teachers:broken\) could not be made ready.*in broken\n.*OSError: no weights here"),
        ("short_lived", PATIENCE, r"process_teachers:short_lived\) ended with exit code 3 before the teacher was ready"),
        ("sleeper", 1.5, r"gave no answer within start_timeout=1\.5 seconds and was killed before the teacher was ready"),
        ("box_player", PATIENCE, r"could not be made ready.*ValueError: Discrete\(2\) is no Box"),
    ],
)
def test_a_teacher_that_does_not_start(factory: str, start_timeout: float, complaint: str) -> None:
    teacher = ProcessTeacher(f"process_teachers:{factory}", start_timeout=start_timeout, verbose=0)
    with pytest.raises(TeacherError, match=f"(?s){complaint}"):
        teacher.setup(spaces.Discrete(2))

    assert teacher.pids == [None]
    with pytest.raises(TeacherError, match=r"no process before setup"):
        teacher.predict(np.zeros((1, 2)))


def test_loading_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(process_teacher, "REPORT_SECONDS", 0.25)
    teacher = ProcessTeacher("process_teachers:slow_to_load", start_timeout=PATIENCE)
    teacher.setup(BOX)
    (pid,) = teacher.pids
    teacher.close()
    teacher.close()

    *reports, ready = capsys.readouterr().out.splitlines()
    assert len(reports) >= 3
    for report in reports:
        assert re.fullmatch(r"ProcessTeacher\(.*slow_to_load\) has been loading for \d+ s, of 90 s at most", report)
    assert re.fullmatch(r"ProcessTeacher\(.*slow_to_load\) is ready after \d+\.\d s", ready)
    assert pid is not None
    assert is_gone(pid)


# ---------------------------------------------------------------- a teacher that dies


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


# ---------------------------------------------------------------- nothing is left behind

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

"""ProcessTeacher with real processes: the same labels as without them."""

import os
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import process_teachers
import pytest
from gymnasium import spaces
from process_teachers import PlayTeacher
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import naming_env
from watched_processes import PATIENCE, is_gone

from sb3_rpd import RPD
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import ProcessTeacher, TeacherOutput, make_teacher
from sb3_rpd.teachers.process import teacher as process_teacher

BOX = spaces.Box(-1.0, 1.0, (2,))


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

"""RayTeacher with a real Ray cluster of two nodes: the same labels as without, also when an actor is killed."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import process_teachers
import pytest
import ray
import torch as th
from gymnasium import spaces
from process_teachers import PlayTeacher
from ray.cluster_utils import Cluster
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import naming_env

from sb3_rpd import RPD
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import RayTeacher, make_teacher

pytestmark = pytest.mark.slow

BOX = spaces.Box(-1.0, 1.0, (2,))
#: Seconds that anything may take on a busy machine.
PATIENCE = 90.0
#: Of a node.
RESOURCES = {
    "num_cpus": 1,
    "num_gpus": 1,
    "object_store_memory": 10**8,
    "include_dashboard": False,
    # Any that is free: another cluster may run on this machine
    "dashboard_agent_listen_port": 0,
}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a cluster of two nodes is, each with a GPU as Ray counts them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        # Where Ray keeps its token
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(process_teachers.__file__).parent), *sys.path]))
        cluster = Cluster(initialize_head=True, head_node_args=RESOURCES)
        try:
            cluster.add_node(**RESOURCES)
            yield cluster.address
        finally:
            ray.shutdown()
            cluster.shutdown()


def teacher_at(address: str, factory: Any = PlayTeacher, **settings: Any) -> RayTeacher:
    return RayTeacher(factory, **{"address": address, "start_timeout": PATIENCE, "timeout": PATIENCE, "verbose": 0} | settings)


@pytest.fixture(scope="module")
def pair(address: str) -> Iterator[RayTeacher]:
    """Two replicas, each with a GPU and so on a node of its own, and with two threads."""
    teacher = teacher_at(address, replicas=2, num_gpus=1)
    th.set_num_threads(2)
    try:
        teacher.setup(BOX)
    finally:
        th.set_num_threads(1)
    yield teacher
    teacher.close()


# ---------------------------------------------------------------- what is asked and answered


def test_replicas_share_a_batch_of_frames(pair: RayTeacher) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 90, 90, 3), dtype=np.uint8)
    texts = ["describe", "describe", "\N{SNOWMAN}"]
    answer = pair.predict({"x": np.zeros((3, 2)), "frame": frames}, texts).actions

    # By hand: no gradients, two threads, and the teacher may write in its arrays. Of three states the first replica has one.
    first, second = pair.pids
    assert len({first, second, os.getpid()}) == 3
    expected = [[frame.sum(dtype=np.int64), len(text), 0, 2, 1] for frame, text in zip(frames, texts, strict=True)]
    np.testing.assert_array_equal(answer[:, [0, 1, 3, 4, 5]], expected)
    assert answer[:, 2].tolist() == [first, second, second]


def test_arrays_travel_as_they_are(pair: RayTeacher) -> None:
    # Large enough for Ray's shared memory
    frames = np.random.default_rng(1).integers(0, 256, (4, 300, 300), dtype=np.uint8)
    answer = pair.predict(frames)
    assert pair.gives_distribution
    assert pair.takes_action_masks
    assert answer.actions.dtype == np.uint8
    np.testing.assert_array_equal(answer.actions, frames)

    actions = np.array([[0.25, -0.5], [np.nan, 1.0]], np.float32)
    answer = pair.predict({"x": actions})
    assert answer.actions.tobytes() == actions.tobytes()
    np.testing.assert_array_equal(answer.std, [[0.5, 0.5], [0.5, 0.5]])


def test_each_replica_has_a_gpu(pair: RayTeacher) -> None:
    assert ray.cluster_resources()["GPU"] == 2
    wait_until(lambda: ray.available_resources().get("GPU", 0) == 0, "Ray has counted the GPUs")


def test_an_exception_is_told_with_its_traceback(pair: RayTeacher) -> None:
    pids = pair.pids
    with pytest.raises(TeacherError, match=r"(?s)raised an exception.*in fail\n.*UnpicklableError: a VLA has its moods"):
        pair.predict(np.zeros((1, 2)), ["fail"])
    np.testing.assert_array_equal(pair.predict(np.ones((1, 2))).actions, [[1, 1]])
    assert pair.pids == pids


def test_setup_again_keeps_the_actors(pair: RayTeacher) -> None:
    pids = pair.pids
    pair.setup(spaces.Discrete(3))
    try:
        answer = pair.predict(np.array([2, 0, 1])).actions
    finally:
        pair.setup(BOX)
    assert answer.dtype == np.int64
    assert answer.tolist() == [2, 0, 1]
    assert pair.pids == pids


# ---------------------------------------------------------------- a teacher that does not start


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(TypeError, match=r"A RayTeacher makes its teacher in the new process.*this PlayTeacher"):
        RayTeacher(PlayTeacher())
    for name in ("replicas", "timeout", "start_timeout"):
        with pytest.raises(ValueError, match=f"{name}=0 must be positive"):
            RayTeacher(PlayTeacher, **{name: 0})
    with pytest.raises(ValueError, match="num_gpus=-1 and max_restarts=3 must not be negative"):
        RayTeacher(PlayTeacher, num_gpus=-1)


def test_names() -> None:
    assert repr(RayTeacher("package.module:factory")) == "RayTeacher(package.module:factory)"


def test_a_teacher_that_cannot_be_made(address: str) -> None:
    teacher = teacher_at(address, "process_teachers:broken")
    with pytest.raises(TeacherError, match=r"(?s)process_teachers:broken\) raised an exception.*OSError: no weights"):
        teacher.setup(BOX)
    assert teacher.pids == [None]
    with pytest.raises(TeacherError, match="no actors before setup"):
        teacher.predict(np.zeros((1, 2)))


def test_gpus_that_are_not_there(address: str) -> None:
    teacher = teacher_at(address, replicas=2, num_gpus=4, start_timeout=0.5)
    with pytest.warns(UserWarning, match=r"needs 8 GPUs and the Ray cluster has 2"):  # noqa: SIM117
        with pytest.raises(
            TeacherError, match=r"within start_timeout=0\.5 seconds.*before the teacher was ready.*needs 4 GPUs"
        ):
            teacher.setup(BOX)
    assert teacher.pids == [None, None]


# ---------------------------------------------------------------- an actor that dies


def test_a_killed_actor_is_asked_again_until_it_is_given_up(address: str) -> None:
    teacher = teacher_at(address, replicas=2, max_restarts=1)
    teacher.setup(BOX)
    first, second = teacher.pids
    x = np.array([[0.5, -0.25], [0.125, 1.0]])

    # In the middle of a batch: no label is missing
    assert second is not None
    killer = threading.Timer(0.5, os.kill, (second, signal.SIGKILL))
    killer.start()
    with pytest.warns(UserWarning, match=r"replica 2 of 2, died\. Ray has started it again, and asked it again"):
        answer = teacher.predict(x, ["echo_slowly 1"] * 2)
    np.testing.assert_array_equal(answer.actions, x)
    assert teacher.pids[0] == first
    assert teacher.pids[1] not in (None, second)

    # Once too often: its part of this batch is lost, what follows is for the other one
    with pytest.warns(UserWarning, match=r"replica 2 of 2, is dead: .*there will be no more labels from it"):
        answer = teacher.predict(x, ["echo", "crash"])
    np.testing.assert_array_equal(answer.actions, [[0.5, -0.25], [np.nan, np.nan]])
    np.testing.assert_array_equal(teacher.predict(x).actions, x)
    assert teacher.pids == [first, None]

    # A late one is killed
    teacher.timeout = 0.5
    with pytest.warns(UserWarning, match=r"replica 1 of 2, gave no answer within timeout=0\.5 seconds and was killed"):  # noqa: SIM117
        with pytest.raises(TeacherError, match="has lost all its actors"):
            teacher.predict(x, ["echo_slowly 600"] * 2)
    with pytest.raises(TeacherError, match="has lost all its actors"):
        teacher.predict(x)
    teacher.close()


def labels_of(teacher: Any, between: Callable[[], None]) -> tuple[np.ndarray, np.ndarray]:
    """What a student was told in two rollouts, with something that happens between them, and what it became."""
    env = DummyVecEnv([naming_env(i) for i in range(3)])
    model = RPD(
        "MlpPolicy", env, n_steps=11, batch_size=11, n_epochs=1, seed=0, device="cpu", teacher=teacher, label_batch_size=8
    )
    labels = []
    for happens in (between, lambda: None):
        model.learn(33, reset_num_timesteps=False)
        labels.append(model.rollout_buffer.teacher_actions.copy())
        happens()
    parameters = np.concatenate([parameter.detach().numpy().ravel() for parameter in model.policy.parameters()])
    return np.stack(labels), parameters


def test_labels_are_those_of_the_same_teacher_here(address: str) -> None:
    factory = "process_teachers:network_teacher"
    labels, parameters = labels_of(make_teacher(factory), between=lambda: None)
    assert labels.shape == (2, 11, 3, 3)
    assert np.isfinite(labels).all()

    teacher = teacher_at(address, factory)
    with pytest.warns(UserWarning, match="asked it again"):
        their_labels, their_parameters = labels_of(teacher, between=lambda: os.kill(teacher.pids[0], signal.SIGKILL))
    teacher.close()
    assert their_labels.tobytes() == labels.tobytes()
    assert their_parameters.tobytes() == parameters.tobytes()

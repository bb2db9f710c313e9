import numpy as np
import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import OpenVLAServerTeacher, signed_gripper

FRAMES = np.random.default_rng(0).integers(0, 255, (5, 6, 4, 3), dtype=np.uint8)
OBSERVATIONS = {"frame": FRAMES, "qpos": np.zeros((5, 2))}
TEXTS = ["a", "bb", "ccc", "dddd", "eeeee"]


@pytest.fixture
def ask(start_server):
    """Makes teachers that ask one look-alike of OpenVLA's server, and closes them."""
    url = f"http://127.0.0.1:{start_server('openvla_lookalike.py')}"
    teachers = []

    def make(*args, **kwargs):
        teachers.append(OpenVLAServerTeacher(url, *args, **{"patience": 0.0, "timeout": 10.0, **kwargs}))
        return teachers[-1]

    yield make
    for teacher in teachers:
        teacher.close()


def expected(key_length):
    return np.stack([FRAMES.mean(axis=(1, 2, 3)), [1, 2, 3, 4, 5], np.full(5, key_length)], axis=1)


@pytest.mark.parametrize("connections", [1, 3])
def test_each_row_is_asked_with_its_instruction_and_the_key(ask, connections, no_thread_left):
    teacher = ask("bridge_orig", connections=connections)
    np.testing.assert_array_equal(teacher.predict(OBSERVATIONS, TEXTS).actions, expected(len("bridge_orig")))
    teacher.close()


def test_the_key_may_be_left_out_and_the_gripper_mapped(ask):
    output = ask(convert_actions=signed_gripper).predict(OBSERVATIONS, TEXTS)
    np.testing.assert_array_equal(output.actions[:, :2], expected(0)[:, :2])
    np.testing.assert_array_equal(output.actions[:, 2], -1.0)


@pytest.mark.parametrize(("action_index", "position"), [(0, 0), (2, 2)])
def test_of_a_chunk_one_action_is_taken(ask, action_index, position):
    teacher = ask(observation_keys={"image": "frame", "state": "qpos"}, action_index=action_index)
    output = teacher.predict(OBSERVATIONS, ["chunk"] * 5)
    np.testing.assert_array_equal(output.actions[:, 0], FRAMES.mean(axis=(1, 2, 3)) + position)


def test_an_action_index_beyond_the_chunk_is_an_error(ask):
    with pytest.raises(TeacherError, match="chunks of 3 actions; action_index is 5"):
        ask(action_index=5).predict(OBSERVATIONS, ["chunk"] * 5)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("raise", "answered 'error'.*unnorm_key 'key'"),
        ("status", "status 422.*unprocessable"),
        ("garbage", "malformed answer"),
        ("dict", "answered 'unnorm_key not found'.*unnorm_key 'key'"),
        ("broken", "status 500: CUDA out of memory.*Its own log"),
        ("hang", r"no answer within 2 s.*larger timeout than 2"),
    ],
)
def test_failures(ask, failure, message):
    teacher = ask("key", timeout=2.0)
    with pytest.raises(TeacherError, match=message):
        teacher.predict(OBSERVATIONS, [failure] * 5)
    output = teacher.predict(OBSERVATIONS, [*TEXTS[:4], failure])
    np.testing.assert_array_equal(output.actions[:4], expected(3)[:4])
    assert np.isnan(output.actions[4]).all()


def test_an_instruction_and_one_image_are_needed(ask):
    with pytest.raises(TeacherError, match="wants an instruction"):
        ask().predict(OBSERVATIONS)
    with pytest.raises(TeacherError, match=r"looks at 'frame'.*none could be meant.*observation_keys"):
        ask().predict({"qpos": np.zeros((5, 2))}, TEXTS)
    np.testing.assert_array_equal(ask(instruction="four").predict(OBSERVATIONS).actions[:, 1], np.full(5, 4))


def test_a_server_that_is_not_there_is_named(start_process):
    process, port = start_process("openvla_lookalike.py")
    process.kill()
    process.wait()
    with pytest.raises(TeacherError, match=rf"http://127\.0\.0\.1:{port} gave no answer"):
        OpenVLAServerTeacher(f"http://127.0.0.1:{port}", patience=0.1).predict(OBSERVATIONS, TEXTS)


@pytest.mark.parametrize("url", ["localhost:8000", "ws://localhost:8000", "http://", "http://localhost:8000/predict"])
def test_wrong_addresses_are_refused(url):
    with pytest.raises(ValueError, match="http://host:port"):
        OpenVLAServerTeacher(url)


def test_ipv6(start_server):
    teacher = OpenVLAServerTeacher(f"http://[::1]:{start_server('openvla_lookalike.py', '::1')}", patience=0.0)
    np.testing.assert_array_equal(teacher.predict(OBSERVATIONS, TEXTS).actions, expected(0))


def test_a_dict_without_a_known_name_is_described():
    link = OpenVLAServerTeacher("http://there")._make_link()
    with pytest.raises(TeacherError, match="answered 'a dict of code, hint'"):
        link._action({"code": 7, "hint": "no"})

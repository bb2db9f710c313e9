import numpy as np
import pytest
from PIL import Image

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import VLAgentsTeacher

rng = np.random.default_rng(0)
FRAMES = rng.integers(0, 255, (3, 12, 8, 3), dtype=np.uint8)
OBSERVATIONS = {"frame": FRAMES, "qpos": rng.normal(size=(3, 2)), "fingers": np.array([[0.0], [1.0], [0.25]])}
TEXTS = ["a", "bb", "ccc"]


@pytest.fixture
def ask(start_process):
    """Makes teachers that ask a vlagents server with one policy, and closes them."""
    teachers = []

    def make(served, host="127.0.0.1", **kwargs):
        process, line = start_process("vlagents_server.py", served, host.strip("[]"))
        while not line.startswith("port "):
            line = next(process.stdout)
        settings = {"policy": served, "patience": 0.0, "timeout": 20.0, **kwargs}
        teachers.append(VLAgentsTeacher(host, int(line.split()[1]), **settings))
        return teachers[-1]

    yield make
    for teacher in teachers:
        teacher.close()


def test_the_built_in_test_policy_answers_and_reconnects(ask):
    teacher = ask("test")
    # six zeros, and a gripper that closes and opens in turn
    np.testing.assert_array_equal(teacher.predict(FRAMES, TEXTS).actions, [[0] * 6 + [0], [0] * 6 + [1], [0] * 6 + [0]])
    teacher.close()
    np.testing.assert_array_equal(teacher.predict(FRAMES, TEXTS).actions[:, -1], [1, 0, 1])


def test_the_policy_sees_images_states_and_instructions(ask):
    keys = {"rgb_side": "frame", "joints": "qpos", "gripper": "fingers"}
    teacher = ask("mirror", observation_keys=keys, action_index=1, convert_actions="signed_gripper")
    actions = teacher.predict(OBSERVATIONS, TEXTS).actions
    seen = np.column_stack([FRAMES.mean(axis=(1, 2, 3)), np.full(3, 12), np.full(3, 8), OBSERVATIONS["qpos"], [1, 2, 3]])
    np.testing.assert_allclose(actions[:, :-1], seen + 1, rtol=1e-6)
    np.testing.assert_allclose(actions[:, -1], [-1.0, 1.0, -0.5])


def test_an_instruction_may_be_the_teachers_own(ask):
    assert ask("mirror", instruction="four").predict(FRAMES).actions[:, 3].tolist() == [4, 4, 4]


def test_images_are_resized(ask):
    actions = ask("mirror", image_size=(6, 4)).predict({"frame": FRAMES}, TEXTS).actions
    resized = [np.asarray(Image.fromarray(frame).resize((4, 6), Image.Resampling.LANCZOS)) for frame in FRAMES]
    np.testing.assert_allclose(actions[:, :3], [[image.mean(), 6, 4] for image in resized], rtol=1e-6)


@pytest.mark.parametrize(
    ("policy", "given", "size"),
    [("octo", None, (256, 256)), ("openvla", None, (256, 256)), ("lerobot", None, None), ("octo", (64, 32), (64, 32))],
)
def test_octo_and_openvla_get_the_size_that_they_want(policy, given, size):
    assert VLAgentsTeacher("127.0.0.1", 1, policy, image_size=given).image_size == size


def test_another_policy_is_named(ask):
    with pytest.raises(TeacherError, match="runs the policy 'test', and 'octo' is wanted"):
        ask("test", policy="octo").predict(FRAMES, TEXTS)


def test_an_error_of_the_policy_masks_its_label(ask):
    teacher = ask("mirror")
    with pytest.raises(TeacherError, match="the policy broke"):
        teacher.predict(FRAMES, ["raise"] * 3)
    assert np.isnan(teacher.predict(FRAMES, ["a", "raise", "b"]).actions).all(axis=1).tolist() == [False, True, False]


def test_a_missing_answer_masks_its_label(ask):
    # Time for the other answers on a busy machine, and a wait that is not long
    teacher = ask("mirror", timeout=2.0)
    with pytest.raises(TeacherError, match=r"no answer within 2 s.*larger timeout than 2"):
        teacher.predict(FRAMES, ["hang"] * 3)
    assert np.isnan(teacher.predict(FRAMES, ["a", "b", "hang"]).actions).all(axis=1).tolist() == [False, False, True]


def test_an_action_index_beyond_the_chunk_is_an_error(ask):
    with pytest.raises(TeacherError, match="chunks of 1 actions; action_index is 1"):
        ask("test", action_index=1).predict(FRAMES, TEXTS)


def test_a_server_that_is_not_there_is_named():
    with pytest.raises(TeacherError, match=r"rpyc://127\.0\.0\.1:9 gave no answer"):
        VLAgentsTeacher("127.0.0.1", 9, "test", patience=0.0).predict(FRAMES, TEXTS)


def test_an_error_of_the_policy_is_one_line(ask):
    with pytest.raises(TeacherError) as error:
        ask("mirror").predict(FRAMES, ["raise"] * 3)
    assert str(error.value).endswith("reports an error: the policy broke.")


def test_a_server_of_vlagents_0_2_is_named(ask):
    with pytest.raises(
        TeacherError, match=r"camera_data_type'?\. It is a vlagents server older than 0\.3.*install vlagents 0\.3"
    ):
        ask("old").predict(FRAMES, TEXTS)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6(ask, host):
    teacher = ask("test", host)
    assert teacher.predict(FRAMES, TEXTS).actions.shape == (3, 7)
    assert teacher.url.startswith("rpyc://[::1]:")

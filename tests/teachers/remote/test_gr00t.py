import numpy as np
import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import GR00TTeacher

rng = np.random.default_rng(0)
OBSERVATIONS = {"frame": rng.integers(0, 255, (5, 6, 4, 3), dtype=np.uint8), "qpos": rng.normal(size=(5, 2))}
KEYS = {"video_keys": {"ego_view": "frame"}, "state_keys": {"arm": "qpos"}}
TEXTS = ["a", "bb", "ccc", "dddd", "eeeee"]


@pytest.fixture
def ask(start_server):
    """Makes teachers that ask one look-alike of GR00T's server, and closes them."""
    port = start_server("gr00t_lookalike.py", "token")
    teachers = []

    def make(**kwargs):
        settings = {"patience": 0.0, "timeout": 10.0, "api_token": "token", **KEYS, **kwargs}
        teachers.append(GR00TTeacher("127.0.0.1", port, **settings))
        return teachers[-1]

    yield make
    for teacher in teachers:
        teacher.close()


def expected(position=0):
    hand = np.stack([OBSERVATIONS["frame"].mean(axis=(1, 2, 3)), [1, 2, 3, 4, 5]], axis=1)
    return hand + position, OBSERVATIONS["qpos"][:, :1].astype(np.float32) + position


@pytest.mark.parametrize("max_batch", [64, 2])
@pytest.mark.parametrize("action_index", [0, 1])
def test_a_batch_is_asked_at_once(ask, max_batch, action_index):
    output = ask(max_batch=max_batch, action_index=action_index).predict(OBSERVATIONS, TEXTS)
    np.testing.assert_allclose(output.actions, np.hstack(expected(action_index)), rtol=1e-6)


def test_the_parts_of_the_action_are_ordered(ask):
    hand, gripper = expected()
    output = ask(action_keys=["gripper", "hand"]).predict(OBSERVATIONS, TEXTS)
    np.testing.assert_allclose(output.actions, np.hstack([gripper, hand]), rtol=1e-6)


def test_without_a_mapping_the_environments_names_are_the_servers(ask):
    offered = {"ego_view": OBSERVATIONS["frame"], "arm": OBSERVATIONS["qpos"], "depth": np.zeros((5, 6, 4))}
    output = ask(video_keys=None, state_keys=None).predict(offered, TEXTS)
    np.testing.assert_allclose(output.actions, np.hstack(expected()), rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"api_token": None}, "Invalid API token"),
        ({"action_keys": ["arm"]}, r"'arm'.*'gripper', 'hand'"),
        ({"action_index": 2}, "chunks of 2 actions"),
        (
            {"video_keys": {"other_view": "frame"}},
            r"error: 'ego_view'\. It was sent video \['other_view'\]; state \['arm'\]; language .*, and wants "
            r"video \['ego_view'\]; state \['arm'\]; .*: correct the teacher's video_keys",
        ),
        ({"language_key": "task"}, r"language \['task'\], and wants .*language \['annotation.human.task_description'\]"),
        ({"video_keys": {"ego_view": "camera"}}, r"'video.ego_view' from 'camera'.*offers 'frame', 'qpos'"),
    ],
    ids=str,
)
def test_failures_name_their_cause(ask, settings, message):
    with pytest.raises(TeacherError, match=message):
        ask(**settings).predict(OBSERVATIONS, TEXTS)


@pytest.mark.parametrize("failure", ["garbage", "hang"])
def test_a_malformed_or_missing_answer_is_no_label_and_the_next_one_is(ask, failure):
    # Time for the other answers on a busy machine, and a wait that is not long
    teacher = ask(max_batch=1, timeout=2.0)
    output = teacher.predict(OBSERVATIONS, [*TEXTS[:4], failure])
    np.testing.assert_allclose(output.actions[:4], np.hstack(expected())[:4], rtol=1e-6)
    assert np.isnan(output.actions[4]).all()
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, TEXTS).actions, np.hstack(expected()), rtol=1e-6)


def test_an_instruction_is_needed(ask):
    with pytest.raises(TeacherError, match="wants an instruction"):
        ask().predict(OBSERVATIONS)
    output = ask(instruction="four").predict(OBSERVATIONS)
    np.testing.assert_array_equal(output.actions[:, 1], np.full(5, 4))


def test_a_server_that_is_not_there_is_named(start_process):
    process, port = start_process("gr00t_lookalike.py")
    process.kill()
    process.wait()
    teacher = GR00TTeacher("127.0.0.1", int(port), **KEYS, patience=0.0, timeout=0.2)
    with pytest.raises(TeacherError, match=rf"tcp://127\.0\.0\.1:{port} gave no answer \(no connection\)"):
        teacher.predict(OBSERVATIONS, TEXTS)
    teacher.close()


def test_a_wrong_address_is_named():
    teacher = GR00TTeacher("no host", **KEYS)
    with pytest.raises(TeacherError, match="tcp://no host:5555"):
        teacher.predict(OBSERVATIONS, TEXTS)
    teacher.close()


@pytest.mark.parametrize("form", ["json", "dict"])
def test_the_server_is_asked_for_its_language_key(start_server, form):
    key = "annotation.human.action.task_description"
    port = start_server("gr00t_lookalike.py", "--language-key", key, "--config", form)
    teacher = GR00TTeacher("127.0.0.1", port, **KEYS, patience=0.0, timeout=10.0)
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, TEXTS).actions, np.hstack(expected()), rtol=1e-6)
    teacher.close()
    wrong = GR00TTeacher("127.0.0.1", port, **KEYS, patience=0.0, timeout=10.0, language_key="task")
    with pytest.raises(TeacherError, match=rf"Language key '{key}' must be.*sent .*\['task'\], and wants .*\['{key}'\]"):
        wrong.predict(OBSERVATIONS, TEXTS)
    wrong.close()


def test_a_server_that_does_not_say_what_it_wants(start_server):
    port = start_server("gr00t_lookalike.py", "--config", "no")
    teacher = GR00TTeacher("127.0.0.1", port, **KEYS, patience=0.0, timeout=10.0)
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, TEXTS).actions, np.hstack(expected()), rtol=1e-6)
    with pytest.raises(TeacherError, match=r"It was sent video \['ego_view'\]; state \[\]; language \[[^]]*\]\.$"):
        GR00TTeacher("127.0.0.1", port, video_keys=KEYS["video_keys"], state_keys={}, timeout=10.0).predict(
            OBSERVATIONS, TEXTS
        )
    teacher.close()


@pytest.mark.parametrize("state_keys", [None, {"arm": "arm"}])
def test_single_numbers_are_states_of_one_dimension(ask, state_keys):
    offered = {"ego_view": OBSERVATIONS["frame"], "arm": np.arange(5)}
    output = ask(video_keys=None, state_keys=state_keys).predict(offered, TEXTS)
    np.testing.assert_array_equal(output.actions[:, 2], np.arange(5))


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6(start_server, host):
    teacher = GR00TTeacher(host, start_server("gr00t_lookalike.py", "--host", "[::1]"), **KEYS, patience=0.0, timeout=10.0)
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, TEXTS).actions, np.hstack(expected()), rtol=1e-6)
    assert teacher.url.startswith("tcp://[::1]:")
    teacher.close()


def test_a_name_of_the_host_is_taken_too(start_server):
    teacher = GR00TTeacher("localhost", start_server("gr00t_lookalike.py"), **KEYS, patience=0.0, timeout=10.0)
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, TEXTS).actions, np.hstack(expected()), rtol=1e-6)
    teacher.close()


def test_an_answer_that_takes_too_long_says_so(ask):
    with pytest.raises(TeacherError, match=r"no answer within 0\.5 s.*larger timeout than 0\.5"):
        ask(timeout=0.5).predict({name: array[:1] for name, array in OBSERVATIONS.items()}, ["hang"])

import logging
import socket
import socketserver
import threading

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import KVWriter, Logger

from sb3_rpd import RPD
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import FunctionTeacher, OpenPITeacher, TeacherOutput
from sb3_rpd.teachers.remote.server import TeacherServer

KEYS = {"observation/image": "frame", "observation/state": "qpos"}

rng = np.random.default_rng(0)
OBSERVATIONS = {
    "frame": rng.integers(0, 255, (5, 6, 4, 3), dtype=np.uint8),
    "qpos": rng.normal(size=(5, 2)).astype(np.float32),
    "unused": np.zeros((5, 1)),
}


@pytest.fixture
def ask(start_server):
    """Makes teachers that ask one look-alike of an openpi server, and closes them."""
    url = f"ws://127.0.0.1:{start_server('openpi_lookalike.py')}"
    teachers = []

    def make(**kwargs):
        teachers.append(OpenPITeacher(url, **{"observation_keys": KEYS, "patience": 0.0, **kwargs}))
        return teachers[-1]

    yield make
    for teacher in teachers:
        teacher.close()


def expected(rows=slice(None), position=0):
    frames, states = OBSERVATIONS["frame"][rows], OBSERVATIONS["qpos"][rows]
    return np.stack([frames.sum(axis=(1, 2, 3)), states[:, 0], np.full(len(frames), position)], axis=1)


@pytest.mark.parametrize("connections", [1, 3, 8])
@pytest.mark.parametrize(("action_index", "position"), [(0, 0), (2, 2), (-1, 2)])
def test_a_server_of_openpi_is_asked_row_by_row(ask, connections, action_index, position, no_thread_left):
    teacher = ask(connections=connections, action_index=action_index)
    output = teacher.predict(OBSERVATIONS, ["go"] * 5)
    np.testing.assert_allclose(output.actions, expected(position=position), rtol=1e-6)
    assert output.std is None
    teacher.close()


def test_actions_are_converted(ask):
    output = ask(convert_actions=lambda actions: actions[:, :2] / 100).predict(OBSERVATIONS, ["go"] * 5)
    np.testing.assert_allclose(output.actions, expected()[:, :2] / 100, rtol=1e-6)


def test_the_environments_instruction_goes_before_the_teachers(ask):
    teacher = ask(instruction="raise")
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, ["go"] * 5).actions, expected(), rtol=1e-6)
    with pytest.raises(TeacherError, match="the policy broke"):
        teacher.predict(OBSERVATIONS)


@pytest.mark.parametrize("failure", ["raise", "garbage", "hang"])
def test_a_request_that_fails_for_good_has_no_label(ask, failure, caplog):
    # Time for the other answers on a busy machine, and a wait that is not long
    teacher = ask(connections=1, timeout=2.0)
    with caplog.at_level(logging.WARNING):
        output = teacher.predict(OBSERVATIONS, ["go", "go", "go", "go", failure])
    np.testing.assert_allclose(output.actions[:4], expected(slice(4)), rtol=1e-6)
    assert np.isnan(output.actions[4]).all()
    assert "1 of 5 questions have no answer" in caplog.text
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, ["go"] * 5).actions, expected(), rtol=1e-6)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ("raise", "RuntimeError: the policy broke"),
        ("garbage", "malformed frame"),
        ("hang", r"no answer within 0\.5 s.*larger timeout than 0\.5"),
    ],
)
def test_a_query_without_any_answer_is_an_error(ask, failure, message):
    with pytest.raises(TeacherError, match=message):
        ask(timeout=0.5).predict(OBSERVATIONS, [failure] * 5)


def test_an_action_index_beyond_the_chunk_is_an_error(ask):
    with pytest.raises(TeacherError, match="chunks of 3 actions; action_index is 3"):
        ask(action_index=3).predict(OBSERVATIONS, ["go"] * 5)


def test_names_may_stand_for_a_place_in_a_dict_as_in_openpis_aloha_configuration(ask):
    keys = {"state": "qpos", "images": {"cam_high": "frame", "cam_left_wrist": "hand"}}
    offered = {**OBSERVATIONS, "hand": OBSERVATIONS["frame"][:, ::2]}
    output = ask(observation_keys=keys, channels_first=True).predict(offered, ["go"] * 5)
    expected_sums = OBSERVATIONS["frame"][..., 0].sum(axis=(1, 2))
    np.testing.assert_allclose(
        output.actions, np.stack([expected_sums, OBSERVATIONS["qpos"][:, 0], np.zeros(5)], axis=1), rtol=1e-6
    )
    with pytest.raises(TeacherError, match=r"'images\.cam_left_wrist' from 'hand'.*'hand' cannot be found"):
        ask(observation_keys=keys).predict(OBSERVATIONS, ["go"] * 5)


def test_what_the_environment_does_not_offer_is_an_error(ask):
    with pytest.raises(TeacherError, match=r"'observation/image' from 'camera'.*'frame', 'qpos', 'unused'"):
        ask(observation_keys={"observation/image": "camera"}).predict(OBSERVATIONS, ["go"] * 5)


def test_no_distribution_comes_from_a_server_that_has_none(ask):
    with pytest.raises(TeacherError, match="without a distribution"):
        ask(gives_distribution=True).predict(OBSERVATIONS, ["go"] * 5)


def test_a_server_that_is_not_there_is_named(start_process):
    process, port = start_process("openpi_lookalike.py")
    process.kill()
    process.wait()
    teacher = OpenPITeacher(f"ws://127.0.0.1:{port}", patience=0.2)
    with pytest.raises(TeacherError, match=rf"ws://127\.0\.0\.1:{port} gave no answer .*refused.* in 0\.2 s"):
        teacher.predict(OBSERVATIONS, ["go"] * 5)


@pytest.fixture
def no_proxies(monkeypatch):
    """An environment without proxies, in which some can be set."""
    for name in ("http_proxy", "https_proxy", "ws_proxy", "socks_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_a_proxy_that_was_used_is_named_with_what_to_set(no_proxies, start_server):
    # a server for another protocol, which answers the proxy's questions with an error
    no_proxies.setenv("http_proxy", f"http://me:secret@127.0.0.1:{start_server('openvla_lookalike.py')}")
    teacher = OpenPITeacher("ws://robot.lan:8000", patience=0.0)
    with pytest.raises(TeacherError, match=r"through the proxy http://127\.0\.0\.1:\d+: .*set no_proxy=robot\.lan") as error:
        teacher.predict(np.zeros((1, 2)))
    assert "secret" not in str(error.value)
    no_proxies.setenv("no_proxy", "robot.lan")
    with pytest.raises(TeacherError, match=r"no connection: .*Is it running") as error:
        teacher.predict(np.zeros((1, 2)))
    assert "proxy" not in str(error.value)


@pytest.mark.parametrize(
    ("variable", "proxy", "cause"),
    [
        ("socks_proxy", "socks5h://127.0.0.1:1080", "pip install python-socks"),
        ("https_proxy", "socks5://127.0.0.1:1080", "pip install python-socks"),
        ("http_proxy", "ftp://127.0.0.1:21", "its address is none"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named(no_proxies, variable, proxy, cause):
    no_proxies.setenv(variable, proxy)
    with pytest.raises(TeacherError, match=rf"proxy {proxy} on the way .*robot\.lan.*{cause}.*no_proxy=robot\.lan"):
        OpenPITeacher("ws://robot.lan:8000", patience=0.0).predict(np.zeros((1, 2)))


class ConnectProxy(socketserver.StreamRequestHandler):
    """An HTTP proxy that connects to this machine, whatever host it is asked for."""

    def handle(self):
        port = int(self.rfile.readline().split()[1].rpartition(b":")[2])
        while self.rfile.readline().strip():
            pass
        with socket.create_connection(("127.0.0.1", port)) as server:
            self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self.copy, args=(server, self.connection))
            back.start()
            self.copy(self.connection, server)
            back.join()

    @staticmethod
    def copy(source, target):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_server_is_asked_through_a_proxy(no_proxies, start_server):
    port = start_server("openpi_lookalike.py")
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), ConnectProxy) as proxy:
        proxy.daemon_threads = True
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        no_proxies.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_address[1]}")
        teacher = OpenPITeacher(f"ws://robot.lan:{port}", observation_keys=KEYS, patience=0.0)
        np.testing.assert_allclose(teacher.predict(OBSERVATIONS, ["go"] * 5).actions, expected(), rtol=1e-6)
        teacher.close()
        proxy.shutdown()


def test_a_server_that_takes_smaller_batches_after_its_restart_loses_no_label():
    recorder = Recorder()
    observations = rng.normal(size=(10, 3))
    with TeacherServer(recorder, port=0, max_batch=10) as server:
        port = int(server.url.rpartition(":")[2])
        teacher = OpenPITeacher(server.url, patience=20.0)
        np.testing.assert_array_equal(teacher.predict(observations).actions, 2 * observations)
    with TeacherServer(recorder, port=port, max_batch=4):
        # in the query that notices the new server, and in the next one
        np.testing.assert_array_equal(teacher.predict(observations).actions, 2 * observations)
        np.testing.assert_array_equal(teacher.predict(observations).actions, 2 * observations)
        teacher.close()
    assert recorder.sizes == [10, 4, 4, 2, 4, 4, 2]


@pytest.mark.parametrize("connections", [1, 2])
def test_a_server_that_comes_back_is_asked_again(start_process, connections):
    process, port = start_process("openpi_lookalike.py")
    teacher = OpenPITeacher(f"ws://127.0.0.1:{port}", observation_keys=KEYS, patience=0.1, connections=connections)
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, ["go"] * 5).actions, expected(), rtol=1e-6)
    process.kill()
    process.wait()
    with pytest.raises(TeacherError):
        teacher.predict(OBSERVATIONS, ["go"] * 5)
    start_process("openpi_lookalike.py", port)
    np.testing.assert_allclose(teacher.predict(OBSERVATIONS, ["go"] * 5).actions, expected(), rtol=1e-6)
    teacher.close()


def test_wrong_settings_are_refused():
    with pytest.raises(ValueError, match="ws://host:port"):
        OpenPITeacher("localhost:8000")
    with pytest.raises(ValueError, match="at least one"):
        OpenPITeacher("ws://localhost:8000", connections=0)
    with pytest.raises(ValueError, match="distribution"):
        OpenPITeacher("ws://localhost:8000", gives_distribution=True, convert_actions=np.sign)


class Recorder(FunctionTeacher):
    """Twice the observation; keeps how many it was asked about at once."""

    def __init__(self):
        super().__init__(self.answer)
        self.sizes = []

    def answer(self, observations):
        self.sizes.append(len(observations))
        return 2 * observations


@pytest.mark.parametrize(
    ("connections", "max_batch", "sizes"), [(1, 256, [10]), (1, 4, [4, 4, 2]), (2, 256, [5, 5]), (3, 256, [4, 4, 2])]
)
def test_our_own_server_gets_batches(connections, max_batch, sizes, no_thread_left):
    recorder = Recorder()
    observations = rng.normal(size=(10, 3))
    with TeacherServer(recorder, port=0, max_batch=max_batch) as server:
        teacher = OpenPITeacher(server.url, connections=connections)
        np.testing.assert_array_equal(teacher.predict(observations).actions, 2 * observations)
        teacher.close()
    assert sorted(recorder.sizes, reverse=True) == sizes


def test_batches_fit_into_the_servers_largest_frame():
    recorder = Recorder()
    observations = np.zeros((10, 20_000))
    with TeacherServer(recorder, port=0, max_frame_bytes=600_000) as server:
        teacher = OpenPITeacher(server.url)
        assert teacher.predict(observations).actions.shape == (10, 20_000)
        teacher.close()
    # 600,000 bytes less some room for names, 160,000 bytes a row
    assert recorder.sizes == [3, 3, 3, 1]


def test_a_distribution_comes_through_with_its_missing_rows():
    def gaussian(observations):
        return TeacherOutput(np.where(observations > 0.5, np.nan, observations), std=np.full(observations.shape, 0.25))

    observations = np.array([[0.0], [1.0], [0.5]])
    with TeacherServer(FunctionTeacher(gaussian, gives_distribution=True), port=0) as server:
        teacher = OpenPITeacher(server.url, gives_distribution=True)
        output = teacher.predict(observations)
        plain = OpenPITeacher(server.url)
        assert plain.predict(observations).std is None
        teacher.close()
        plain.close()
    np.testing.assert_array_equal(output.actions, [[0.0], [np.nan], [0.5]])
    np.testing.assert_array_equal(output.std, np.full((3, 1), 0.25))


def test_the_action_space_reaches_the_served_teacher():
    class Spaced(FunctionTeacher):
        space = None

        def setup(self, action_space):
            self.space = action_space

    served = Spaced(lambda observations: np.zeros(len(observations), int))
    with TeacherServer(served, port=0) as server:
        teacher = OpenPITeacher(server.url)
        teacher.setup(spaces.Discrete(4))
        teacher.predict(np.zeros((2, 3)))
        assert served.space == spaces.Discrete(4)
        teacher.setup(spaces.Discrete(5))
        with pytest.raises(TeacherError, match=r"acts in Discrete\(4\) already"):
            teacher.predict(np.zeros((2, 3)))
        teacher.close()


class CloseServer(BaseCallback):
    """Closes the teacher's server at the start of the second rollout."""

    def __init__(self, server):
        super().__init__()
        self.server = server

    def _on_step(self):
        return True

    def _on_rollout_start(self):
        if self.num_timesteps:
            self.server.close()


class MissingLabels(KVWriter):
    """Keeps what the log says of missing labels."""

    def __init__(self):
        self.logged = []

    def write(self, key_values, key_excluded, step=0):
        self.logged.append(key_values["teacher/missing"])


def test_training_goes_on_without_its_server(recwarn):
    missing = MissingLabels()
    with TeacherServer(FunctionTeacher(lambda observations: observations[:, :1]), port=0) as server:
        teacher = OpenPITeacher(server.url, patience=0.0)
        env = make_vec_env("Pendulum-v1", n_envs=2)
        settings = {"n_steps": 32, "batch_size": 64, "n_epochs": 1, "seed": 0, "device": "cpu"}
        student = RPD("MlpPolicy", env, teacher=teacher, max_missing_labels=1.0, **settings)
        student.set_logger(Logger(None, [missing]))
        student.learn(128, callback=CloseServer(server))
        teacher.close()
    assert missing.logged == [0, 64]
    assert any("Labels are missing" in str(warning.message) for warning in recwarn)

import logging
import os
import re
import signal
import socket
import time
import urllib.error
import urllib.request

import msgpack
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from sb3_rpd.teachers import FunctionTeacher, OpenPITeacher
from sb3_rpd.teachers.remote.server import TeacherServer


def pack(value):
    """What an openpi client sends, written from the wire format."""

    def encode(array):
        return {b"__ndarray__": True, b"data": array.tobytes(), b"dtype": array.dtype.str, b"shape": array.shape}

    return msgpack.packb(value, default=encode)


def unpack(frame):
    """What an openpi client reads, written from the wire format."""
    assert isinstance(frame, bytes), frame

    def decode(message):
        if b"__ndarray__" in message:
            return np.ndarray(buffer=message[b"data"], dtype=np.dtype(message[b"dtype"]), shape=message[b"shape"])
        return message

    return msgpack.unpackb(frame, object_hook=decode)


def wait_until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def serve(start_process):
    """Starts ``sb3-rpd serve`` in a process of its own, gives the process and the server's address."""

    def start(*arguments, **env):
        process, line = start_process("-m", "sb3_rpd", "serve", "--port", "0", *arguments, env={**os.environ, **env})
        return process, line.split(" at ")[1]

    return start


def test_a_client_that_knows_only_openpi_is_served(serve):
    process, url = serve("teachers:Gaussian")
    assert url.startswith("ws://127.0.0.1:")
    image = np.full((4, 4, 3), 6, np.uint8)
    with connect(url, compression=None, max_size=None) as websocket:
        assert isinstance(unpack(websocket.recv()), dict)
        for number in (1.0, 2.0):
            websocket.send(pack({"image": image, "state": np.array([number, 0.0], np.float32), "prompt": "go"}))
            answer = unpack(websocket.recv())
            # the mean of the image; the first number of the state and the length of the prompt
            np.testing.assert_array_equal(answer["actions"], [[6.0, number + 2.0]])
            assert answer["server_timing"]["infer_ms"] >= 0
        websocket.send(pack({"image": image, "state": np.zeros(2), "prompt": "raise"}))
        text = websocket.recv()
        assert isinstance(text, str)
        assert text.startswith("Traceback")
        assert "RuntimeError: the teacher broke" in text
        with pytest.raises(ConnectionClosedError, match="1011"):
            websocket.recv()
    with connect(url, compression=None) as websocket:
        websocket.recv()
        websocket.send(pack({"image": image, "state": np.zeros(2)}))
        np.testing.assert_array_equal(unpack(websocket.recv())["actions"], [[6.0, 0.0]])
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    # what failed is not counted
    assert process.stdout.read() == "Answered 3 observations in 3 requests\n"


def test_labels_of_a_served_teacher_are_those_of_the_teacher_itself(serve):
    process, url = serve("teachers:first_two_doubled")
    observations = np.random.default_rng(0).normal(size=(33, 3)).astype(np.float32)
    for connections in (1, 4):
        teacher = OpenPITeacher(url, connections=connections)
        actions = teacher.predict(observations).actions
        assert actions.dtype == np.float32
        np.testing.assert_array_equal(actions, 2.0 * observations[:, :2])
        teacher.close()
    process.send_signal(signal.SIGTERM)
    # one batch over one connection, and four over four
    assert process.communicate()[0] == "Answered 66 observations in 5 requests\n"


def test_a_teacher_that_needs_the_action_space_gets_it(serve):
    _, url = serve("teachers:noisy")
    teacher = OpenPITeacher(url)
    with pytest.raises(RuntimeError, match="reports an error"):
        teacher.predict(np.zeros((5, 3)))
    teacher.setup(spaces.Box(-1.0, 1.0, (2,)))
    actions = teacher.predict(np.zeros((5, 3))).actions
    assert actions.shape == (5, 2)
    assert 0 < np.abs(actions).max() < 1
    teacher.close()


def test_a_loopback_address_needs_no_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    with TeacherServer(FunctionTeacher(np.zeros_like), port=0) as server:
        teacher = OpenPITeacher(server.url, patience=0.0)
        assert teacher.predict(np.zeros((2, 3))).actions.shape == (2, 3)
        teacher.close()


def test_healthz_needs_no_key_and_a_question_does(serve):
    _, url = serve("teachers:first_two_doubled", SB3_RPD_API_KEY="secret")
    with urllib.request.urlopen(url.replace("ws", "http") + "/healthz") as response:
        assert (response.status, response.read()) == (200, b"OK\n")
    for headers in ({}, {"Authorization": "Api-Key wrong"}, {"Authorization": "secret"}):
        with pytest.raises(InvalidStatus, match="401"):
            connect(url, additional_headers=headers)
    with pytest.raises(RuntimeError, match="wants another API key"):
        OpenPITeacher(url, api_key="wrong").predict(np.zeros((1, 3)))
    teacher = OpenPITeacher(url, api_key="secret")
    np.testing.assert_array_equal(teacher.predict(np.ones((1, 3))).actions, [[2.0, 2.0]])
    teacher.close()


def test_what_is_no_websocket_is_turned_away():
    with (
        TeacherServer(FunctionTeacher(np.zeros_like), port=0) as server,
        pytest.raises(urllib.error.HTTPError, match="426"),
    ):
        urllib.request.urlopen(server.url.replace("ws", "http"))


@pytest.mark.parametrize(
    ("frame", "cause"),
    [
        (b"\xc1", "not msgpack"),
        ("text", "a text"),
        (msgpack.packb([]), "not a dict"),
        (msgpack.packb({}), "no observation"),
        (pack({"x": "text"}), "not an array"),
        (pack({"x": np.zeros(3), "prompt": 5}), "prompt"),
        (pack({"x": np.zeros(3), "prompt": ["a", "b"]}), "prompt"),
        (pack({"x": np.zeros((3, 1)), "sb3_rpd/batch": 2}), "not an array of 2 rows"),
        (pack({"x": np.zeros((3, 1)), "sb3_rpd/batch": 3, "prompt": "go"}), "prompt"),
        (pack({"x": np.zeros(()), "sb3_rpd/batch": 1}), "not an array of 1 rows"),
        (pack({"x": np.zeros((9, 1)), "sb3_rpd/batch": 9}), "1 to 8"),
        (pack({"x": np.zeros((0, 1)), "sb3_rpd/batch": 0}), "1 to 8"),
        (pack({"x": np.zeros((1, 1)), "sb3_rpd/batch": True}), "1 to 8"),
        (pack({"sb3_rpd/batch": 2}), "no observation"),
        (pack({"sb3_rpd/action_space": {"kind": "Box"}}), "action space"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_malformed_request_closes_its_connection_and_is_logged(frame, cause, caplog):
    asked = []
    teacher = FunctionTeacher(lambda observations: asked.append(observations) or np.zeros((1, 1)))
    with TeacherServer(teacher, port=0, max_batch=8) as server, connect(server.url) as websocket, connect(server.url) as other:
        websocket.recv()
        with caplog.at_level(logging.WARNING):
            websocket.send(frame)
            assert cause in websocket.recv()
            with pytest.raises(ConnectionClosedError, match="1007"):
                websocket.recv()
        assert not asked
        assert "malformed request, connection closed" in caplog.text
        other.recv()
        other.send(pack({"x": np.zeros(3)}))
        assert unpack(other.recv())["actions"].shape == (1, 1)


def test_a_frame_that_is_too_large_closes_its_connection():
    with (
        TeacherServer(FunctionTeacher(np.zeros_like), port=0, max_frame_bytes=1000) as server,
        connect(server.url) as websocket,
    ):
        websocket.recv()
        websocket.send(bytes(1001))
        with pytest.raises(ConnectionClosedError, match="1009"):
            websocket.recv()


def test_a_client_that_breaks_off_does_no_harm(no_thread_left, caplog):
    with TeacherServer(FunctionTeacher(np.zeros_like), port=0) as server:
        port = int(server.url.rsplit(":", 1)[1])
        for rest in (b"", b"GET / HTTP/1.1\r\n", b"\x16\x03\x01"):
            with socket.create_connection(("127.0.0.1", port)) as raw:
                raw.sendall(rest)
        with connect(server.url) as websocket:
            websocket.recv()
            with caplog.at_level(logging.INFO, "sb3_rpd"):
                websocket.socket.shutdown(socket.SHUT_RDWR)
                wait_until(lambda: re.search("connection (lost|handler failed)", caplog.text))
        teacher = OpenPITeacher(server.url)
        assert teacher.predict(np.zeros((2, 3))).actions.shape == (2, 3)
        teacher.close()
    assert re.search(r"127\.0\.0\.1:\d+: connection lost", caplog.text), caplog.text
    assert "connection handler failed" not in caplog.text


def test_the_served_name_of_an_array_alone_is_observation():
    seen = []

    def teacher(observations):
        seen.append(observations)
        return np.zeros((1, 1))

    with TeacherServer(FunctionTeacher(teacher), port=0) as server, connect(server.url) as websocket:
        websocket.recv()
        for request in ({"observation": np.ones(3)}, {"state": np.ones(3)}, {"observation": np.ones(3), "step": 4}):
            websocket.send(pack(request))
            websocket.recv()
    assert isinstance(seen[0], np.ndarray)
    assert [*seen[1]] == ["state"]
    assert seen[2]["step"].tolist() == [4]


def test_a_teacher_that_gives_too_few_actions_is_an_error():
    with TeacherServer(FunctionTeacher(lambda observations: np.zeros((1, 2))), port=0) as server:
        teacher = OpenPITeacher(server.url)
        with pytest.raises(RuntimeError, match="gave 1 actions for 3 observations"):
            teacher.predict(np.zeros((3, 2)))
        teacher.close()


def test_others_than_this_machine_need_a_key():
    with pytest.raises(ValueError, match="API key"):
        TeacherServer(FunctionTeacher(np.zeros_like), host="0.0.0.0", port=0)


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_ipv6(host):
    observations = np.arange(6.0).reshape(3, 2)
    with TeacherServer(FunctionTeacher(lambda observations: 2 * observations), host=host, port=0) as server:
        assert server.url.startswith("ws://[::1]:")
        teacher = OpenPITeacher(server.url)
        np.testing.assert_array_equal(teacher.predict(observations).actions, 2 * observations)
        teacher.close()


def test_a_network_that_tracks_gradients_is_served():
    layer = th.nn.Linear(2, 2, bias=False)
    th.nn.init.eye_(layer.weight)
    with TeacherServer(FunctionTeacher(lambda observations: layer(th.from_numpy(observations))), port=0) as server:
        teacher = OpenPITeacher(server.url)
        assert teacher.predict(np.float32([[0.5, 2.0]])).actions.tolist() == [[0.5, 2.0]]
        teacher.close()


def test_the_command_line_serves_ipv6(serve):
    _, url = serve("teachers:first_two_doubled", "--host", "::1")
    assert url.startswith("ws://[::1]:")
    teacher = OpenPITeacher(url)
    np.testing.assert_array_equal(teacher.predict(np.ones((2, 3))).actions, 2 * np.ones((2, 2)))
    teacher.close()


@pytest.mark.parametrize("answer", [[[1, 2]], ((1.0, 2.0),)], ids=["list", "tuple"])
def test_what_is_no_array_yet_becomes_one_on_its_way(answer):
    with TeacherServer(FunctionTeacher(lambda observations: answer), port=0) as server:
        teacher = OpenPITeacher(server.url)
        assert teacher.predict(np.zeros((1, 2))).actions.tolist() == [[1, 2]]
        teacher.close()

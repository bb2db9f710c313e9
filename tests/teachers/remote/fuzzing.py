"""
Send mutated frames to both ends of the protocols of the remote teachers, over real connections on the loopback address.

    python tests/teachers/remote/fuzzing.py [--frames 20000] [--seed 0]

Each end may answer, or close the connection and log a line; whatever else happens (another exception, an error in the log,
a server that answers no more) ends this script with a status other than 0.
"""

import argparse
import collections
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import msgpack
import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import FunctionTeacher, GR00TTeacher, OpenPITeacher, OpenVLAServerTeacher, TeacherServer, VLAgentsTeacher
from sb3_rpd.teachers.remote.arrays import MalformedMessageError
from sb3_rpd.teachers.remote.extension import ACTION_SPACE, BATCH, OFFER, PROMPT
from sb3_rpd.teachers.remote.messages import pack_gr00t, pack_json, pack_openpi, unpack_gr00t, unpack_json

IMAGE = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
STATE = np.array([0.5, -1.0], dtype=np.float32)

REQUESTS = [
    {"observation/image": IMAGE, "observation/state": STATE, PROMPT: "pick up the cube"},
    {"observation/image": np.stack([IMAGE] * 3), "observation/state": np.stack([STATE] * 3), PROMPT: ["go"] * 3, BATCH: 3},
    {"observation": STATE, "step": np.int64(4)},
    {ACTION_SPACE: {"kind": "Box", "low": -np.ones(2, np.float32), "high": np.ones(2, np.float32)}},
    {ACTION_SPACE: {"kind": "MultiDiscrete", "nvec": np.array([3, 2])}},
]
OFFERS: list[dict[str, Any]] = [
    {},
    {OFFER: {"version": 1, "max_batch": 2, "max_frame_bytes": 10**6, "gives_distribution": True}},
]
ANSWERS = [
    {"actions": np.zeros((2, 2)), "std": np.ones((2, 2)), "server_timing": {"infer_ms": 1.5}},
    {"actions": np.zeros((50, 2), np.float32), "policy_timing": {"infer_ms": np.float32(1.5)}},
]
GR00T_ANSWER = [{"hand": np.zeros((1, 16, 6), np.float32), "gripper": np.zeros((1, 16, 1), np.float32)}, {}]
OPENVLA_ANSWERS: list[Any] = [np.zeros(7), [np.zeros(7), np.ones(7)]]
VLAGENTS_ANSWER = {"acts": [{"robot": {"action": np.zeros(6, np.float32), "gripper": 1.0, "done": False, "info": {}}}]}

# What takes the place of some value inside a frame that is otherwise sound
NASTY = [
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    1e308,
    float("nan"),
    "",
    "|O",
    "<U8",
    "V4",
    b"",
    b"\x80\x04K\x01.",
    [],
    {},
    [[]],
    [-1],
    [2**40] * 4,
]


def mutations(frames: list[bytes], rng: random.Random) -> Iterator[bytes]:
    """Endless variations of some frames: of their bytes, and of the values in them."""
    while True:
        frame = rng.choice(frames)
        for _ in range(rng.choice((1, 1, 2, 4))):
            frame = rng.choice(_MUTATIONS)(bytearray(frame), frames, rng)
        yield bytes(frame)


def flip(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    if frame:
        frame[rng.randrange(len(frame))] ^= 1 << rng.randrange(8)
    return bytes(frame)


def overwrite(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    if frame:
        # mostly near the beginning, where a frame says what it consists of
        position = rng.randrange(min(len(frame), rng.choice((8, 64, len(frame)))))
        frame[position] = rng.choice((0, 0x7F, 0x80, 0xC0, 0xC1, 0xC4, 0xC9, 0xD9, 0xDC, 0xDF, 0xFF, rng.randrange(256)))
    return bytes(frame)


def cut(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    return bytes(frame[: rng.randrange(len(frame) + 1)])


def remove(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    start = rng.randrange(len(frame) + 1)
    del frame[start : start + rng.randrange(16)]
    return bytes(frame)


def insert(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    start = rng.randrange(len(frame) + 1)
    frame[start:start] = rng.randbytes(rng.randrange(16))
    return bytes(frame)


def splice(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    other = rng.choice(frames)
    return bytes(frame[: rng.randrange(len(frame) + 1)]) + other[rng.randrange(len(other) + 1) :]


def nest(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    return rng.choice((b"\x91", b"\x81\xa1a", b"[", b'{"a":')) * rng.choice((1, 300, 900, 5000)) + bytes(frame)


def change_value(frame: bytearray, frames: list[bytes], rng: random.Random) -> bytes:
    """Put something nasty in the place of one value of a msgpack frame, whatever it was."""
    try:
        message = msgpack.unpackb(bytes(frame), strict_map_key=False)
        places = list(_places(message))
        if places:
            container, key = rng.choice(places)
            container[key] = rng.choice(NASTY)
        return msgpack.packb(message)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return bytes(frame)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield value, key
        yield from _places(part)


_MUTATIONS: list[Callable[[bytearray, list[bytes], random.Random], bytes]] = [
    flip, overwrite, cut, remove, insert, splice, nest, change_value, change_value, change_value,
]  # fmt: skip


class LogCounter(logging.Handler):
    """Counts the lines of the log by level and keeps the errors."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: collections.Counter[str] = collections.Counter()
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.counts[record.levelname] += 1
        if record.levelno >= logging.ERROR:
            self.errors.append(self.format(record))


def fuzz_server(n_frames: int, rng: random.Random, log: LogCounter) -> collections.Counter[str]:
    """Mutated requests for ``TeacherServer``."""
    outcomes: collections.Counter[str] = collections.Counter()
    teacher = FunctionTeacher(lambda observations: np.zeros((len(_first(observations)), 2)))
    frames = mutations([pack_openpi(request) for request in REQUESTS], rng)
    with TeacherServer(teacher, port=0, max_batch=8) as server, ExitStack() as connection:
        # any action space will do: that a later one is another is an error of the client, and no malformed frame
        server._set_up = lambda action_space: None
        websocket = _connect(server.url, connection)
        for _ in range(n_frames):
            websocket.send(next(frames))
            if isinstance(websocket.recv(timeout=30), bytes):
                outcomes["answered"] += 1
                continue
            outcomes["refused"] += 1
            try:
                websocket.recv(timeout=30)
                raise AssertionError("the connection of a malformed request stays open")
            except ConnectionClosed:
                connection.close()
                websocket = _connect(server.url, connection)
        last = OpenPITeacher(server.url)
        assert np.asarray(last.predict(np.zeros((3, 2))).actions).shape == (3, 2)
        last.close()
    assert not log.errors, log.errors[0]
    assert log.counts["WARNING"] == outcomes["refused"], "a refused request is a line in the log"
    return outcomes


def fuzz_client(n_frames: int, rng: random.Random) -> collections.Counter[str]:
    """Mutated metadata and answers for ``OpenPITeacher``."""
    outcomes: collections.Counter[str] = collections.Counter()
    offers = mutations([pack_openpi(offer) for offer in OFFERS], rng)
    answers = mutations([pack_openpi(answer) for answer in ANSWERS], rng)

    def answer(websocket: Any) -> None:
        try:
            mutated = rng.random() < 0.3
            websocket.send(next(offers) if mutated else pack_openpi(rng.choice(OFFERS)))
            outcomes["frames"] += mutated
            for _ in websocket:
                websocket.send(next(answers))
                outcomes["frames"] += 1
        except ConnectionClosed:
            pass

    server = serve(answer, "127.0.0.1", 0, compression=None, ping_interval=None)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    teacher = OpenPITeacher(f"ws://127.0.0.1:{server.socket.getsockname()[1]}", patience=0.0, timeout=30.0)
    while outcomes["frames"] < n_frames:
        try:
            assert isinstance(teacher.predict(np.zeros((2, 2))).actions, np.ndarray)
            outcomes["used"] += 1
        except TeacherError:
            outcomes["refused"] += 1
    teacher.close()
    server.shutdown()
    thread.join()
    return outcomes


def fuzz_answers(n_frames: int, rng: random.Random) -> collections.Counter[str]:
    """Mutated answers for the links of the other teachers, from where a frame has come in."""
    gr00t, openvla = GR00TTeacher("localhost")._make_link(), OpenVLAServerTeacher("http://localhost")._make_link()
    vlagents = VLAgentsTeacher("localhost", 1, "octo")._make_link()
    ends: list[tuple[Iterator[bytes], Callable[[bytes], Any]]] = [
        (mutations([pack_gr00t(GR00T_ANSWER)], rng), lambda frame: gr00t._actions(unpack_gr00t(frame), 1)),
        (
            mutations([pack_json(answer).encode() for answer in OPENVLA_ANSWERS], rng),
            lambda text: openvla._action(unpack_json(text)),
        ),
        (mutations([pack_json(VLAGENTS_ANSWER).encode()], rng), lambda text: vlagents._action(unpack_json(text))),
    ]
    outcomes: collections.Counter[str] = collections.Counter()
    for number in range(n_frames):
        frames, use = ends[number % len(ends)]
        try:
            assert isinstance(use(next(frames)), np.ndarray)
            outcomes["used"] += 1
        except (MalformedMessageError, TeacherError):
            outcomes["refused"] += 1
    return outcomes


def _first(observations: Any) -> np.ndarray:
    return next(iter(observations.values())) if isinstance(observations, dict) else observations


def _connect(url: str, stack: ExitStack) -> Any:
    websocket = stack.enter_context(connect(url, compression=None, ping_interval=None))
    websocket.recv()
    return websocket


def fuzz_all(n_frames: int, seed: int) -> None:
    """Fuzz both ends; raises where one of them does what it must not do."""
    log = LogCounter()
    logger = logging.getLogger("sb3_rpd")
    logger.addHandler(log)
    rng = random.Random(seed)
    try:
        for name, fuzz in (
            ("TeacherServer", lambda: fuzz_server(n_frames, rng, log)),
            ("OpenPITeacher", lambda: fuzz_client(n_frames, rng)),
            ("other teachers", lambda: fuzz_answers(n_frames, rng)),
        ):
            started = time.perf_counter()
            outcomes = fuzz()
            print(f"{name:15s} {n_frames} mutated frames in {time.perf_counter() - started:.1f} s: {dict(outcomes)}")
        assert not log.errors, log.errors[0]
    finally:
        logger.removeHandler(log)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=20_000, help="mutated frames for each end")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    logging.getLogger("sb3_rpd").propagate = False
    fuzz_all(args.frames, args.seed)


if __name__ == "__main__":
    main()

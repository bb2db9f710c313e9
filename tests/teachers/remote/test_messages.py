import struct

import msgpack
import numpy as np
import pytest

from sb3_rpd.teachers.remote.arrays import MalformedMessageError
from sb3_rpd.teachers.remote.messages import (
    pack_gr00t,
    pack_json,
    pack_openpi,
    unpack_gr00t,
    unpack_json,
    unpack_openpi,
)


def test_openpi_frames_are_as_openpi_writes_them():
    message = {"observation/state": np.array([1.0, -2.0], dtype=np.float32), "prompt": "go", "step": np.int64(3)}
    plain = msgpack.unpackb(pack_openpi(message))
    assert plain == {
        "observation/state": {
            b"__ndarray__": True,
            b"data": struct.pack("<2f", 1.0, -2.0),
            b"dtype": "<f4",
            b"shape": [2],
        },
        "prompt": "go",
        "step": {b"__npgeneric__": True, b"data": 3, b"dtype": "<i8"},
    }
    back = unpack_openpi(msgpack.packb(plain))
    np.testing.assert_array_equal(back["observation/state"], message["observation/state"])
    assert back["step"] == 3


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x81",
        msgpack.packb([1, 2]),
        msgpack.packb({b"name": 1}),
        msgpack.packb({"a": msgpack.ExtType(4, b"")}),
        msgpack.packb({"a": {b"__ndarray__": True}}),
        msgpack.packb({"a": {b"__npgeneric__": True, b"data": 1, b"dtype": "O"}}),
        b"\x91" * 100_000,
        # nested too deeply for Python to print, with something behind it, or where something else belongs
        b"\x91" * 900 + b"\xc0\xc0",
        b"\x81\xa1a\x83\xc4\x0b__ndarray__\xc3\xc4\x04data\xc4\x00\xc4\x05dtype" + b"\x91" * 900 + b"\xc0",
        msgpack.packb({"a": 1}) + b"\x00",
    ],
    ids=lambda frame: repr(frame[:12]),
)
def test_what_is_no_openpi_frame_is_refused(frame):
    with pytest.raises(MalformedMessageError):
        unpack_openpi(frame)


def test_gr00t_frames_are_npy_files_in_msgpack():
    array = np.arange(4, dtype=np.uint8).reshape(1, 4)
    plain = msgpack.unpackb(pack_gr00t({"video": array}))
    assert plain["video"]["__ndarray_class__"] is True
    assert plain["video"]["as_npy"].startswith(b"\x93NUMPY")
    np.testing.assert_array_equal(unpack_gr00t(msgpack.packb(plain))["video"], array)
    for frame in (b"ERROR", msgpack.packb({"a": {"__ndarray_class__": True, "as_npy": b"cnumpy\n"}})):
        with pytest.raises(MalformedMessageError):
            unpack_gr00t(frame)


def test_json_frames():
    array = np.array([1.5, 2.5])
    text = pack_json({"image": array, "instruction": "go"})
    assert '"__numpy__": "AAAAAAAA+D8AAAAAAAAEQA=="' in text
    np.testing.assert_array_equal(unpack_json(text)["image"], array)
    for broken in ("", "{", b"\xff", "[" * 100_000, '{"__numpy__": "AAAA", "dtype": "O", "shape": [1]}'):
        with pytest.raises(MalformedMessageError):
            unpack_json(broken)


@pytest.mark.parametrize("pack", [pack_openpi, pack_gr00t, pack_json])
def test_what_has_no_form_is_not_sent(pack):
    with pytest.raises(TypeError, match="cannot be sent"):
        pack({"value": object()})

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sb3_rpd.teachers.remote.arrays import (
    ALLOWED_DTYPES,
    MalformedMessageError,
    checked_array,
    checked_scalar,
    from_json,
    from_npy,
    plain_array,
    to_json,
    to_npy,
)

allowed_arrays = npst.arrays(st.sampled_from(sorted(ALLOWED_DTYPES)), npst.array_shapes(min_dims=0, min_side=0, max_side=4))


def assert_same(left: np.ndarray, right: np.ndarray) -> None:
    assert left.dtype == right.dtype.newbyteorder("=")
    np.testing.assert_array_equal(left, right)


def test_the_bytes_are_read_in_c_order_and_in_their_byte_order():
    data = struct.pack(">4h", 1, -2, 3, 256)
    array = checked_array(data, ">i2", [2, 2])
    assert array.tolist() == [[1, -2], [3, 256]]
    assert array.dtype == np.int16
    assert array.flags.writeable


@given(allowed_arrays)
def test_arrays_survive_every_form(array):
    assert_same(checked_array(array.tobytes(), array.dtype.str, list(array.shape)), array)
    assert_same(from_npy(to_npy(array)), array)
    assert_same(from_json(to_json(array)), array)


def test_an_npy_file_in_fortran_order_is_read_as_numpy_reads_it():
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    buffer = io.BytesIO()
    np.save(buffer, array)
    assert b"'fortran_order': True" in buffer.getvalue()
    assert_same(from_npy(buffer.getvalue()), array)


@pytest.mark.parametrize(
    ("data", "dtype", "shape", "complaint"),
    [
        ("text", "<f4", [1], "not bytes"),
        (b"\0" * 8, "|O", [1], "not allowed"),
        (b"\0" * 8, "<U2", [1], "not allowed"),
        (b"\0" * 8, "<M8[s]", [1], "not allowed"),
        (b"\0" * 8, "<f4,<f4", [1], "not allowed"),
        (b"\0" * 8, None, [1], "not allowed"),
        (b"\0" * 4, "<f4", [2], "does not have 4 bytes"),
        (b"\0" * 4, "<f4", [-1, -1], "length of a side"),
        (b"\0" * 4, "<f4", [True], "length of a side"),
        (b"\0" * 4, "<f4", [1.0], "length of a side"),
        (b"\0" * 4, "<f4", [2**40, 2**40], "length of a side"),
        (b"\0" * 4, "<f4", "1", "list"),
        (b"\0" * 4, "<f4", None, "list"),
        (b"\0" * 4, "<f4", [1] * 17, "list"),
    ],
)
def test_what_is_no_array_is_refused(data, dtype, shape, complaint):
    with pytest.raises(MalformedMessageError, match=complaint):
        checked_array(data, dtype, shape)


def test_an_array_without_content_has_sides_that_numpy_can_count():
    assert checked_array(b"", "<f4", [0, 2, 3]).shape == (0, 2, 3)
    with pytest.raises(MalformedMessageError, match="cannot have the shape"):
        checked_array(b"", "<f4", [0, 2**30, 2**30, 2**30])


def test_an_npy_header_that_claims_a_huge_array_makes_no_room_for_it():
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000, 1000), }\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header
    with pytest.raises(MalformedMessageError, match=r"length of a side|does not have"):
        from_npy(content)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x93NUMPY", b"\x93NUMPY\x03\x00", b"\x93NUMPY\x01\x00\x04\x00((((", b"\x93NUMPY\x02\x00\xff\xff\xff\xff", 5],
)
def test_what_is_no_npy_file_is_refused(content):
    with pytest.raises(MalformedMessageError):
        from_npy(content)


def test_an_npy_file_with_objects_is_refused():
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(MalformedMessageError, match="not allowed"):
        from_npy(buffer.getvalue())


@pytest.mark.parametrize("data", ["no base64", 5, None, "AAA"])
def test_json_data_that_are_no_base64_are_refused(data):
    with pytest.raises(MalformedMessageError):
        from_json({"__numpy__": data, "dtype": "<f4", "shape": [1]})


def test_scalars():
    assert checked_scalar(1.5, "<f4") == np.float32(1.5)
    assert checked_scalar(3, ">u2").dtype == np.uint16
    for value, dtype in (("1", "<f4"), (1, "|O"), (b"", "<i2"), (None, "<f4"), (float("nan"), "<i4")):
        with pytest.raises(MalformedMessageError):
            checked_scalar(value, dtype)


def test_what_a_message_may_not_contain_is_not_sent():
    for array in (np.array(["text"]), np.array([None]), np.array([1j]), np.zeros(1, "f4,f4")):
        with pytest.raises(TypeError, match="cannot be sent"):
            plain_array(array)

"""Arrays from a network: checked before they are used, in the three forms in which policy servers write them."""

import ast
import base64
import binascii
import io
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_PLAIN_DTYPES = ("?", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8")

#: What numpy calls the dtypes that a message may contain: truth values, integers and floats of either byte order.
#: No objects, strings, structures or dates.
ALLOWED_DTYPES = frozenset(np.dtype(order + name).str for name in _PLAIN_DTYPES for order in "<>")

# How the two versions of the .npy format write the length of their header (numpy.lib.format)
_NPY_LENGTHS = {b"\x01\x00": "<H", b"\x02\x00": "<I"}
_NPY_HEADER_LIMIT = 10_000

_MAX_DIMENSIONS = 16
_MAX_SIDE = 2**31


class MalformedMessageError(ValueError):
    """A message from a network is not what it should be; its connection is not worth keeping."""


def shown(value: Any) -> str:
    """:return: A value of a message for another message to quote: short, and without what is nested in it."""
    return repr(value[:40]) if isinstance(value, (str, bytes)) else f"a {type(value).__name__}"


def checked_array(data: Any, dtype: Any, shape: Any) -> np.ndarray:
    """
    Make an array of what a message says about it, if all of it is right.

    :param data: The array's bytes, in C order.
    :param dtype: The name of its dtype, one of ``ALLOWED_DTYPES``.
    :param shape: The lengths of its sides.
    :return: The array, with memory of its own, in the machine's byte order.
    :raises MalformedMessageError: if a part has the wrong type, the dtype is not allowed, or the shape does not fit the data.
    """
    if not isinstance(data, bytes):
        raise MalformedMessageError(f"an array's data are of type {type(data).__name__}, not bytes")
    if not isinstance(dtype, str) or dtype not in ALLOWED_DTYPES:
        raise MalformedMessageError(f"an array has the dtype {shown(dtype)}, which is not allowed in a message")
    if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)) or len(shape) > _MAX_DIMENSIONS:
        raise MalformedMessageError("an array's shape is not a list of at most 16 numbers")
    if not all(type(side) is int and 0 <= side < _MAX_SIDE for side in shape):
        raise MalformedMessageError("an array's shape holds something that is not the length of a side")
    checked = np.dtype(dtype)
    if math.prod(shape) * checked.itemsize != len(data):
        raise MalformedMessageError(f"an array of shape {tuple(shape)} and dtype {dtype} does not have {len(data)} bytes")
    try:
        return np.frombuffer(data, checked).reshape(shape).astype(checked.newbyteorder("="))
    except ValueError as error:
        # no content, and other sides whose product numpy finds too large
        raise MalformedMessageError(f"an array cannot have the shape {tuple(shape)}: {error}") from error


def checked_scalar(value: Any, dtype: Any) -> np.generic:
    """
    Make a numpy scalar of what a message says about it.

    :param value: A truth value, an integer or a float.
    :param dtype: The name of its dtype, one of ``ALLOWED_DTYPES``.
    :raises MalformedMessageError: if the two do not fit each other.
    """
    if not isinstance(value, (bool, int, float)) or not isinstance(dtype, str) or dtype not in ALLOWED_DTYPES:
        raise MalformedMessageError("a numpy scalar is not a number of an allowed dtype")
    try:
        with np.errstate(over="ignore"):
            scalar = np.dtype(dtype).newbyteorder("=").type(value)
    except (ValueError, OverflowError) as error:
        raise MalformedMessageError(f"a numpy scalar does not fit its dtype {dtype}: {error}") from error
    assert isinstance(scalar, np.generic)
    return scalar


def plain_array(array: np.ndarray) -> np.ndarray:
    """
    :param array: An array that is to be sent.
    :return: The same in C order.
    :raises TypeError: if its dtype is none that a message may contain.
    """
    if array.dtype.str not in ALLOWED_DTYPES:
        raise TypeError(f"An array of dtype {array.dtype} cannot be sent; only truth values, integers and floats can.")
    return np.ascontiguousarray(array)


def to_npy(array: np.ndarray) -> bytes:
    """:return: The array as the content of an .npy file, GR00T's form."""
    buffer = io.BytesIO()
    np.save(buffer, plain_array(array), allow_pickle=False)
    return buffer.getvalue()


def from_npy(content: Any) -> np.ndarray:
    """
    Read an .npy file, without the room that ``numpy.load`` makes for whatever size the file's header claims.

    :param content: The file's bytes.
    :raises MalformedMessageError: if it is not such a file, or if ``checked_array`` refuses its content.
    """
    if not isinstance(content, bytes) or content[:6] != b"\x93NUMPY" or content[6:8] not in _NPY_LENGTHS:
        raise MalformedMessageError("an array is not an .npy file")
    form = _NPY_LENGTHS[content[6:8]]
    start = 8 + struct.calcsize(form)
    try:
        (length,) = struct.unpack_from(form, content, 8)
        if length > _NPY_HEADER_LIMIT:
            raise MalformedMessageError(f"an .npy file has a header of {length} bytes")
        header = ast.literal_eval(content[start : start + length].decode("latin1"))
        dtype, is_fortran, shape = header["descr"], header["fortran_order"], header["shape"]
    except MalformedMessageError:
        raise
    except (ValueError, TypeError, LookupError, SyntaxError, RecursionError, MemoryError, struct.error) as error:
        raise MalformedMessageError(f"an .npy file has no header ({type(error).__name__})") from error
    data = content[start + length :]
    if is_fortran is not True:
        return checked_array(data, dtype, shape)
    return checked_array(data, dtype, shape[::-1] if isinstance(shape, tuple) else None).T


def to_json(array: np.ndarray) -> dict[str, Any]:
    """:return: The array in json_numpy's form, that of OpenVLA's server and of vlagents."""
    array = plain_array(array)
    return {"__numpy__": base64.b64encode(array.tobytes()).decode(), "dtype": array.dtype.str, "shape": list(array.shape)}


def from_json(message: Mapping[str, Any]) -> Any:
    """
    The object hook for messages in json_numpy's form.

    :param message: Any object of a JSON message.
    :return: The array that it stands for, or the object itself where it stands for none.
    :raises MalformedMessageError: if it should be an array and is none.
    """
    if "__numpy__" not in message:
        return message
    try:
        data = base64.b64decode(message["__numpy__"], validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise MalformedMessageError(f"an array's data are not base64: {error}") from error
    return checked_array(data, message.get("dtype"), message.get("shape"))

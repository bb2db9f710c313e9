"""Messages on the wire: msgpack as openpi and GR00T write it, JSON as OpenVLA's server and vlagents write it."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.teachers.remote.arrays import (
    MalformedMessageError,
    checked_array,
    checked_scalar,
    from_json,
    from_npy,
    plain_array,
    shown,
    to_json,
    to_npy,
)

# What the decoders raise on a frame that they cannot read (msgpack's own errors are ValueErrors)
_UNREADABLE = (ValueError, TypeError, KeyError, OverflowError, RecursionError, MemoryError)


def pack_openpi(message: Mapping[Any, Any]) -> bytes:
    """
    :param message: A message of dicts, lists, strings, numbers and arrays.
    :return: The message as openpi writes it.
    """
    return _msgpack().packb(message, default=_openpi_form)  # type: ignore[no-any-return]


def unpack_openpi(frame: bytes) -> dict[str, Any]:
    """
    :param frame: What came in from an openpi client or server.
    :return: The message, its arrays checked.
    :raises MalformedMessageError: if it is not a message with names for its parts.
    """
    return _named_parts(_unpack(frame, _from_openpi_form))


def pack_gr00t(message: Mapping[Any, Any]) -> bytes:
    """
    :param message: A message of dicts, lists, strings, numbers and arrays.
    :return: The message as GR00T writes it.
    """
    return _msgpack().packb(message, default=_gr00t_form)  # type: ignore[no-any-return]


def unpack_gr00t(frame: bytes) -> Any:
    """
    :param frame: What came in from a GR00T client or server.
    :return: The message, its arrays checked.
    :raises MalformedMessageError: if it cannot be read.
    """
    return _unpack(frame, _from_gr00t_form)


def modality_keys(config: Any) -> list[str]:
    """
    :param config: What a GR00T server says of a modality: N1.7 as a dict in a message, N1.6 as JSON.
    :return: The names of its parts; none if the server does not say them.
    """
    described = config.get("as_json") if isinstance(config, dict) else None
    if isinstance(described, str):
        try:
            described = unpack_json(described)
        except MalformedMessageError:
            return []
    keys = described.get("modality_keys") if isinstance(described, dict) else None
    return [key for key in keys if isinstance(key, str)] if isinstance(keys, list) else []


def pack_json(message: Mapping[str, Any]) -> str:
    """
    :param message: A message of dicts, lists, strings, numbers and arrays.
    :return: The message as json_numpy writes it.
    """
    return json.dumps(message, default=_json_form)


def unpack_json(text: str | bytes) -> Any:
    """
    :param text: What came in from a server that writes with json_numpy.
    :return: The message, its arrays checked.
    :raises MalformedMessageError: if it cannot be read.
    """
    try:
        return json.loads(text, object_hook=from_json)
    except MalformedMessageError:
        raise
    except _UNREADABLE as error:
        raise MalformedMessageError(f"a message is not JSON: {error}") from error


def _msgpack() -> Any:
    return import_optional("msgpack", extra="remote")


def _unpack(frame: bytes, object_hook: Any) -> Any:
    try:
        return _msgpack().unpackb(frame, object_hook=object_hook, ext_hook=_refuse_extension)
    except MalformedMessageError:
        raise
    except _UNREADABLE as error:
        # not as text: msgpack's errors carry what they have read so far, which may be nested too deeply for Python to print
        raise MalformedMessageError(f"a message is not msgpack ({type(error).__name__})") from None


def _refuse_extension(code: int, data: bytes) -> Any:
    raise MalformedMessageError(f"a message holds an extension of msgpack (code {code}), which no policy server writes")


def _named_parts(message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        raise MalformedMessageError(f"a message is of type {type(message).__name__}, not a dict")
    for name in message:
        if not isinstance(name, str):
            raise MalformedMessageError(f"a part of a message has the name {shown(name)}, which is not a string")
    return message


def _openpi_form(value: Any) -> dict[bytes, Any]:
    if isinstance(value, np.ndarray):
        array = plain_array(value)
        return {b"__ndarray__": True, b"data": array.tobytes(), b"dtype": array.dtype.str, b"shape": array.shape}
    if isinstance(value, np.generic):
        plain_array(np.asarray(value))
        return {b"__npgeneric__": True, b"data": value.item(), b"dtype": value.dtype.str}
    raise TypeError(f"A {type(value).__name__} cannot be sent.")


def _from_openpi_form(message: dict[Any, Any]) -> Any:
    if b"__ndarray__" in message:
        return checked_array(message.get(b"data"), message.get(b"dtype"), message.get(b"shape"))
    if b"__npgeneric__" in message:
        return checked_scalar(message.get(b"data"), message.get(b"dtype"))
    return message


def _gr00t_form(value: Any) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        return {"__ndarray_class__": True, "as_npy": to_npy(value)}
    raise TypeError(f"A {type(value).__name__} cannot be sent.")


def _from_gr00t_form(message: dict[Any, Any]) -> Any:
    return from_npy(message.get("as_npy")) if "__ndarray_class__" in message else message


def _json_form(value: Any) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        return to_json(value)
    raise TypeError(f"A {type(value).__name__} cannot be sent.")

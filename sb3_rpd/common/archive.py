"""Keeps objects of this package in an SB3 archive in a form that a machine without this package ignores."""

import base64
from typing import Any

import cloudpickle


def pack(value: Any) -> str:
    """
    :param value: Any picklable object.
    :return: Its pickle as text, which SB3 stores as plain JSON and does not try to read.
    """
    return base64.b64encode(cloudpickle.dumps(value)).decode()


def unpack(text: str) -> Any:
    """
    :param text: What ``pack`` returned. Like the rest of an SB3 archive it must come from somebody you trust.
    :return: The object.
    """
    return cloudpickle.loads(base64.b64decode(text))

"""Keeps objects of this package in an SB3 archive in a form that a machine without this package ignores."""

import base64
from typing import Any

import cloudpickle

from sb3_rpd.common.wording import cut


def pack(value: Any) -> str:
    """
    :param value: Any picklable object.
    :return: Its pickle as text, which SB3 stores as plain JSON and does not try to read.
    """
    return base64.b64encode(cloudpickle.dumps(value)).decode()


def unpack(text: str, name: str) -> Any:
    """
    :param text: What ``pack`` returned. Like the rest of an SB3 archive it must come from somebody you trust.
    :param name: The argument of ``load`` that takes the object's place.
    :return: The object.
    :raises RuntimeError: if the object cannot be restored here, say for want of a module that defines its class.
    """
    try:
        return cloudpickle.loads(base64.b64decode(text))
    except Exception as error:
        raise RuntimeError(
            f"The {name} in this archive cannot be restored here ({cut(repr(error))}). Give another one in its place: "
            f"load(path, {name}=...)."
        ) from error

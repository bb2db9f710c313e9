"""What our own server and client agree on beyond openpi's protocol: batches, distributions, the action space."""

from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_rpd.teachers.remote.arrays import MalformedMessageError, shown

#: In the server's metadata: what it offers, as {"version", "max_batch", "max_frame_bytes", "gives_distribution"}.
OFFER = "sb3_rpd"

#: In a request: how many observations it holds. All its arrays then have that first axis, and the prompt is a list.
BATCH = "sb3_rpd/batch"

#: In a request of its own: the action space, for ``Teacher.setup``.
ACTION_SPACE = "sb3_rpd/action_space"

VERSION = 1

#: Where openpi's protocol has the instruction in a request.
PROMPT = "prompt"

#: Room for the names and numbers of a frame beside its arrays.
FRAME_OVERHEAD = 65536

DEFAULT_FRAME_LIMIT = 64 * 2**20


_MAX_BITS = 2**16


def describe_space(space: spaces.Space) -> dict[str, Any]:
    """
    :param space: An action space.
    :return: It, in a form that can be sent.
    :raises TypeError: for a space that is none of Box, Discrete, MultiDiscrete and MultiBinary.
    """
    if isinstance(space, spaces.Box):
        return {"kind": "Box", "low": space.low, "high": space.high}
    if isinstance(space, spaces.Discrete):
        return {"kind": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"kind": "MultiDiscrete", "nvec": space.nvec}
    if isinstance(space, spaces.MultiBinary):
        return {"kind": "MultiBinary", "n": space.n if isinstance(space.n, int) else [int(side) for side in space.n]}
    raise TypeError(f"An action space of type {type(space).__name__} cannot be sent.")


def read_space(description: Any) -> spaces.Space:
    """
    :param description: What ``describe_space`` wrote, after its way through a network.
    :return: The action space.
    :raises MalformedMessageError: if it describes none.
    """
    if not isinstance(description, dict):
        raise MalformedMessageError("an action space is not described by a dict")
    kind = description.get("kind")
    try:
        if kind == "Box":
            low, high = _array(description, "low"), _array(description, "high")
            if not np.issubdtype(low.dtype, np.number) or low.dtype != high.dtype or low.shape != high.shape:
                raise MalformedMessageError("a Box has bounds that do not fit each other")
            return spaces.Box(low, high, dtype=low.dtype.type)
        if kind == "Discrete":
            return spaces.Discrete(_number(description, "n"), start=_number(description, "start"))
        if kind == "MultiDiscrete":
            return spaces.MultiDiscrete(_array(description, "nvec"))
        if kind == "MultiBinary":
            return spaces.MultiBinary(_sides(description))
    except (AssertionError, ValueError, TypeError, OverflowError) as error:
        raise MalformedMessageError(f"an action space cannot be: {error}") from error
    raise MalformedMessageError(f"there is no action space of the kind {shown(kind)}")


def _array(description: dict[str, Any], name: str) -> np.ndarray:
    value = description.get(name)
    if not isinstance(value, np.ndarray):
        raise MalformedMessageError(f"the {name} of an action space is not an array")
    return value


def _number(description: dict[str, Any], name: str) -> int:
    value = description.get(name)
    if type(value) is not int or abs(value) >= 2**31:
        raise MalformedMessageError(f"the {name} of an action space is not an integer")
    return value


def _sides(description: dict[str, Any]) -> int | list[int]:
    n = description.get("n")
    if type(n) is int and 0 < n < _MAX_BITS:
        return n
    if isinstance(n, list) and len(n) <= 8 and all(type(side) is int and 0 < side < _MAX_BITS for side in n):
        return n
    raise MalformedMessageError("the n of a MultiBinary space is neither a length nor a list of some")

"""What is recorded of an environment's states: images and vectors, by name."""

from collections.abc import Mapping
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import cut
from sb3_rpd.common.wrappers import ObservationSource

#: The name of the only image, and that of the only vector.
IMAGE, VECTOR = "frame", "state"


def observe(
    env: gym.Env[Any, Any], observation: RawObservation, sources: Mapping[str, ObservationSource] | None
) -> dict[str, np.ndarray]:
    """
    Read what is to be recorded of the present state.

    :param env: The environment.
    :param observation: Its observation.
    :param sources: What to read, by name; None for the observation itself, and the rendered frame where it has no image.
    :return: uint8 images of shape (height, width, 3), and float32 vectors.
    :raises ValueError: if something is neither an image nor a vector.
    """
    if sources is not None:
        return {name: _recordable(name, source(env)) for name, source in sources.items()}
    if isinstance(observation, dict):
        found = {name: _recordable(name, part) for name, part in observation.items()}
    else:
        found = {IMAGE if is_image(np.asarray(observation)) else VECTOR: _recordable("observation", observation)}
    if env.render_mode == "rgb_array" and not any(map(is_image, found.values())):
        found[IMAGE] = _recordable(IMAGE, env.render())
    return found


def is_image(array: np.ndarray) -> bool:
    """:return: Whether an array is an 8-bit color image, channels last."""
    return array.ndim == 3 and array.shape[2] == 3 and array.dtype == np.uint8


def _recordable(name: str, value: Any) -> np.ndarray:
    array = np.array(value)
    if is_image(array):
        return array
    if array.ndim > 1 or not (np.issubdtype(array.dtype, np.number) or array.dtype == bool):
        raise ValueError(
            f"{cut(repr(name), 60)} is an array of {array.dtype} and shape {array.shape}. What is recorded is a color image "
            "(uint8, height x width x 3) or a vector of numbers: record(observation={'name': function of the environment})."
        )
    return np.asarray(np.atleast_1d(array), dtype=np.float32)

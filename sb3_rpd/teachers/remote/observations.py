"""Which of the environment's observations a server gets, and under which name."""

from collections.abc import Mapping

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.type_aliases import RawObservation

#: The name of an observation that is a single array and so has none of its own.
SINGLE_ARRAY = "observation"


def name_observations(observations: RawObservation) -> dict[str, np.ndarray]:
    """
    :param observations: A batch of raw observations.
    :return: The same as arrays by name; a single array is called ``SINGLE_ARRAY``.
    """
    return observations if isinstance(observations, dict) else {SINGLE_ARRAY: observations}


def select(keys: Mapping[str, str] | None, offered: Mapping[str, np.ndarray], server: str) -> dict[str, np.ndarray]:
    """
    Take what a server gets out of what the environment offers.

    :param keys: For each of the server's names the environment's; None gives everything under the environment's names.
    :param offered: The environment's observations by name.
    :param server: The server, for messages.
    :return: Observations by the server's names.
    :raises TeacherError: if the environment does not offer something; lists both sides.
    """
    if keys is None:
        return dict(offered)
    missing = [name for name in keys.values() if name not in offered]
    if missing:
        wanted = ", ".join(f"{theirs!r} from {ours!r}" for theirs, ours in keys.items())
        raise TeacherError(
            f"The server {server} is to get {wanted}; the environment offers {sorted(offered)}, so {missing} "
            "cannot be found. Correct the teacher's mapping (the server's name -> the environment's name), or let "
            "TeacherActionWrapper(env, observation={...}) offer it."
        )
    return {theirs: offered[ours] for theirs, ours in keys.items()}


def is_images(array: np.ndarray) -> bool:
    """:return: Whether a batch of observations is one of images, channels last."""
    return array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] in (1, 3)


def the_only_image(offered: Mapping[str, np.ndarray], server: str) -> str:
    """
    :param offered: The environment's observations by name.
    :param server: The server, for messages.
    :return: The name of the image among them.
    :raises TeacherError: if there is not exactly one.
    """
    images = [name for name, array in offered.items() if is_images(array)]
    if len(images) != 1:
        what = {name: f"{array.dtype}{list(array.shape[1:])}" for name, array in offered.items()}
        raise TeacherError(
            f"The server {server} wants an image, uint8 of shape (height, width, 3); the environment offers {what}, of which "
            f"{images or 'none'} could be meant. Name the one that is meant when you make the teacher."
        )
    return images[0]

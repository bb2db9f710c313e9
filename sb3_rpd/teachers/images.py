"""Finds the images among what an environment offers its teacher."""

from collections.abc import Mapping

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.offers import describe_observations
from sb3_rpd.common.wording import shortened

#: The name under which ``TeacherActionWrapper`` offers the rendered frame.
FRAME = "frame"


def are_images(array: np.ndarray) -> bool:
    """:return: Whether a batch of observations is one of 8-bit color images, channels last."""
    return array.ndim == 4 and array.shape[3] == 3 and array.dtype == np.uint8


def find_images(offered: Mapping[str, np.ndarray], name: str | None, *, seeker: str, cure: str) -> str:
    """
    Find the images that a teacher looks at.

    :param offered: The environment's observations by name, each with first axis n.
    :param name: The name of the images that are meant; None for the only ones that there are, or ``FRAME`` among several.
    :param seeker: Who looks at them, for messages.
    :param cure: How to say which ones are meant, for messages.
    :return: Their name.
    :raises TeacherError: if they are not there or not the only ones; says what is there.
    """
    images = [candidate for candidate, array in offered.items() if are_images(array)]
    wanted = name if name is not None else images[0] if len(images) == 1 else FRAME
    if wanted not in images:
        raise TeacherError(
            f"{seeker} looks at {wanted!r}, color images of dtype uint8 and shape height x width x 3; the environment offers "
            f"{describe_observations(dict(offered))}, of which {shortened(images)} could be meant. {cure}"
        )
    return wanted

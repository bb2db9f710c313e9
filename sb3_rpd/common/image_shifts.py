"""Images that are moved by a few pixels at random, so that a network does not learn them by heart."""

import numpy as np
from gymnasium import spaces
from numpy.lib.stride_tricks import sliding_window_view
from stable_baselines3.common.preprocessing import is_image_space


def image_names(space: spaces.Space) -> list[str]:
    """
    :param space: An observation space.
    :return: The names of the images in it; "" is that of an observation that is one image itself.
    """
    parts = space.spaces if isinstance(space, spaces.Dict) else {"": space}
    return [name for name, part in parts.items() if is_image_space(part)]


def randomly_shifted(images: np.ndarray, pixels: int, generator: np.random.Generator) -> np.ndarray:
    """
    Move each image by a whole number of pixels in both directions, drawn uniformly; what comes in repeats the image's edge
    (the random shifts of Kostrikov, Yarats & Fergus 2020, https://arxiv.org/abs/2004.13649).

    :param images: Shape (n, channels, height, width).
    :param pixels: How far at most.
    :param generator: Draws.
    :return: The moved images, of the same shape.
    """
    n, _, *size = images.shape
    ways = generator.integers(2 * pixels + 1, size=(2, n))
    padded = np.pad(images, ((0, 0), (0, 0), (pixels, pixels), (pixels, pixels)), mode="edge")
    windows = sliding_window_view(padded, tuple(size), axis=(2, 3))  # type: ignore[call-overload]
    moved: np.ndarray = windows[np.arange(n), :, ways[0], ways[1]]
    return moved

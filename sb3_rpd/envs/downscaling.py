"""One frame for two: the teacher's, and averaged over areas the student's smaller one."""

import numpy as np


class Downscaling:
    """
    Makes an image smaller; each new pixel is the mean of the area that it covers.

    :param size: Height and width of the images.
    :param new_size: Height and width of what is made of them.
    :raises ValueError: if a side is to become longer.
    :ivar new_size: Height and width of what is made.
    """

    def __init__(self, size: tuple[int, int], new_size: tuple[int, int]) -> None:
        if new_size[0] > size[0] or new_size[1] > size[1]:
            (height, width), (new_height, new_width) = size, new_size
            raise ValueError(
                f"images of {new_height} x {new_width} pixels cannot be made of frames of {height} x {width}, which are "
                "scaled down only: take a larger frame_size"
            )
        self.new_size = new_size
        self._rows, self._columns = (_shares(old, new) for old, new in zip(size, new_size, strict=True))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """
        :param image: uint8, shape (height, width, channels).
        :return: uint8, shape (new height, new width, channels), rounded.
        """
        height, width, channels = image.shape
        rows = self._rows @ image.reshape(height, width * channels).astype(np.float32)
        smaller: np.ndarray = np.rint(self._columns @ rows.reshape(-1, width, channels)).astype(np.uint8)
        return smaller


def _shares(old: int, new: int) -> np.ndarray:
    """Shape (new, old): which share of the area of each new pixel each old one has, in one direction."""
    ends = np.arange(1, new + 1) * (old / new)
    pixels = np.arange(old)
    overlaps = np.minimum(ends[:, np.newaxis], pixels + 1) - np.maximum(ends[:, np.newaxis] - old / new, pixels)
    return np.asarray(np.clip(overlaps, 0.0, None) * (new / old), dtype=np.float32)

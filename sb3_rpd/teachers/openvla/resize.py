"""Resizing of image batches: Pillow's bicubic filter to the last bit, and the centre crop of OpenVLA's evaluations."""

from functools import lru_cache

import numpy as np
import torch as th

# Pillow resizes 8-bit images in integers: weights are multiples of 2^-22
_FRACTION_BITS = 22


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981)."""
    x = np.abs(distance)
    inner = (1.5 * x - 2.5) * x**2 + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


@lru_cache(maxsize=16)
def _taps(size: int, new_size: int) -> tuple[np.ndarray, np.ndarray]:
    """
    Which pixels make up each pixel of the resized axis, and how much of each.

    :return: Indices and integer weights, both of shape (new_size, number of taps); unused taps weigh nothing.
    """
    scale = size / new_size
    # shrinking widens the filter, so that no pixel is skipped
    stretch = max(scale, 1.0)
    centre = (np.arange(new_size) + 0.5) * scale
    first = np.maximum((centre - 2 * stretch + 0.5).astype(int), 0)
    last = np.minimum((centre + 2 * stretch + 0.5).astype(int), size)
    indices = first[:, None] + np.arange((last - first).max())
    weights = np.where(indices < last[:, None], _cubic((indices - centre[:, None] + 0.5) / stretch), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    rounded = np.trunc(weights * 2**_FRACTION_BITS + np.where(weights < 0, -0.5, 0.5)).astype(np.int32)
    return np.minimum(indices, size - 1), rounded


def _resize_axis(images: th.Tensor, axis: int, new_size: int) -> th.Tensor:
    if images.shape[axis] == new_size:
        return images
    indices, weights = (th.as_tensor(array, device=images.device) for array in _taps(images.shape[axis], new_size))
    shape = [1] * images.ndim
    shape[axis] = new_size
    wide = images.int()
    # one half, so that the shift rounds to the nearest
    total = th.full((), 1 << (_FRACTION_BITS - 1), dtype=th.int32, device=images.device)
    for tap in range(indices.shape[1]):
        total = total + wide.index_select(axis, indices[:, tap]) * weights[:, tap].view(shape)
    return (total >> _FRACTION_BITS).clamp(0, 255).byte()


def resize_bicubic(images: th.Tensor, size: tuple[int, int]) -> th.Tensor:
    """
    Resize as Pillow's ``Image.resize(..., BICUBIC)`` does, a whole batch at once and on any device.

    :param images: Shape (n, height, width, channels), uint8.
    :param size: The new height and width.
    :return: Shape (n, *size, channels), uint8; equal to Pillow's result to the last bit (up to Pillow 12; square images: in
        all releases).
    """
    # Pillow rounds to 8 bits between the two passes, so their order counts. First along the width is what it did for all
    # shapes when OpenVLA was trained; Pillow 13 turns it round for some that are not square.
    return _resize_axis(_resize_axis(images, 2, size[1]), 1, size[0])


def crop_centre(images: th.Tensor, area: float, size: tuple[int, int]) -> th.Tensor:
    """
    Cut out the centre and scale it, bilinearly between the corners' centres: what OpenVLA's evaluations do with TensorFlow's
    ``crop_and_resize`` for checkpoints that were trained on random crops.

    :param images: Shape (n, height, width, channels), uint8.
    :param area: The crop's part of the image's area, 0.9 for the published checkpoints.
    :param size: The height and width to scale it to.
    :return: Shape (n, *size, channels), uint8.
    """
    values = images.float() / 255
    for axis, new_size in ((2, size[1]), (1, size[0])):
        last = images.shape[axis] - 1
        side = float(np.sqrt(area))
        positions = th.linspace((1 - side) / 2 * last, (1 + side) / 2 * last, new_size, device=images.device)
        below = positions.floor().long()
        above = positions.ceil().long()
        fraction = (positions - below).view([new_size if dim == axis else 1 for dim in range(4)])
        lower, upper = values.index_select(axis, below), values.index_select(axis, above)
        values = lower + (upper - lower) * fraction
    # TensorFlow's conversion of [0, 1] to 8 bits: 256 equal parts, the last of them up to 255.5
    return (values * 255.5).clamp(0, 255).byte()

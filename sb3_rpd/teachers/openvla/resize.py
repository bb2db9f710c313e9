"""Resizing of image batches: Pillow's bicubic filter, on a GPU too, and the center crop of OpenVLA's evaluations."""

from functools import lru_cache

import numpy as np
import torch as th

from sb3_rpd.common.optional_imports import import_optional

# Pillow resizes 8-bit images in integers: its weights are multiples of 2^-22
_UNIT = 2**22


def _cubic(distance: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel with a = -1/2 (Keys 1981)."""
    x = np.abs(distance)
    inner = (1.5 * x - 2.5) * x**2 + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


@lru_cache(maxsize=16)
def _filter(size: int, new_size: int) -> np.ndarray:
    """How much of each pixel of an axis (column) goes into each pixel of the resized axis (row), in units of 2^-22."""
    scale = size / new_size
    # shrinking widens the filter, so that no pixel is skipped
    stretch = max(scale, 1.0)
    center = (np.arange(new_size)[:, None] + 0.5) * scale
    pixel = np.arange(size)
    inside = (pixel >= (center - 2 * stretch + 0.5).astype(int)) & (pixel < (center + 2 * stretch + 0.5).astype(int))
    weights = np.where(inside, _cubic((pixel + 0.5 - center) / stretch), 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    rounded: np.ndarray = np.trunc(weights * _UNIT + np.where(weights < 0, -0.5, 0.5))
    return rounded


def _to_8_bits(total: th.Tensor) -> th.Tensor:
    return ((total + _UNIT // 2) / _UNIT).floor().clamp(0, 255)


def resize_by_matrices(images: th.Tensor, size: tuple[int, int]) -> th.Tensor:
    """The same as ``resize_bicubic``, as two matrix products: whole numbers below 2^53 are exact in float64."""
    along_width, along_height = (
        th.as_tensor(_filter(old, new), device=images.device)
        for old, new in ((images.shape[2], size[1]), (images.shape[1], size[0]))
    )
    pixels = images.permute(0, 3, 1, 2).double()
    pixels = _to_8_bits(pixels @ along_width.T)
    return _to_8_bits(along_height @ pixels).byte().permute(0, 2, 3, 1)


def resize_by_pillow(images: th.Tensor, size: tuple[int, int]) -> th.Tensor:
    """The same as ``resize_bicubic``, image by image."""
    pillow = import_optional("PIL.Image", extra="openvla")
    resized = np.empty((len(images), *size, images.shape[3]), dtype=np.uint8)
    for row, image in enumerate(images.numpy()):
        # in two calls, because Pillow 13 turns their order round for some shapes
        narrow = pillow.fromarray(image).resize((size[1], images.shape[1]), pillow.Resampling.BICUBIC)
        resized[row] = narrow.resize((size[1], size[0]), pillow.Resampling.BICUBIC)
    return th.from_numpy(resized)


def resize_bicubic(images: th.Tensor, size: tuple[int, int]) -> th.Tensor:
    """
    Resize as Pillow's bicubic filter does: images on a GPU all at once where they are, others with Pillow itself.

    Both give the same bits. Pillow rounds to 8 bits between the passes along the two axes, so their order counts: the width
    comes first, as in the releases of Pillow that OpenVLA was trained with.

    :param images: Shape (n, height, width, 3), uint8.
    :param size: The new height and width.
    :return: Shape (n, \\*size, 3), uint8, on the same device.
    """
    if images.is_cuda:
        return resize_by_matrices(images, size)
    # not every other device has float64
    return resize_by_pillow(images.cpu(), size).to(images.device)


def _crop_positions(size: int, new_size: int, area: float) -> np.ndarray:
    """
    Where along an axis the pixels of the scaled crop are read.

    Each step is rounded to float32, in the order in which TensorFlow computes it: the ends of the box in units of the image
    (OpenVLA's evaluation), then the step from pixel to pixel (``crop_and_resize``).
    """
    side = np.sqrt(np.float32(area))
    start = (np.float32(1) - side) / np.float32(2)
    end = start + side
    last = np.float32(size - 1)
    if new_size == 1:
        return np.array([np.float32(0.5) * (start + end) * last])
    step = (end - start) * last / np.float32(new_size - 1)
    positions: np.ndarray = start * last + np.arange(new_size, dtype=np.float32) * step
    return positions


def crop_center(images: th.Tensor, area: float, size: tuple[int, int]) -> th.Tensor:
    """
    Cut out the center and scale it, bilinearly between the corners' centers: what OpenVLA's evaluations do with TensorFlow's
    ``crop_and_resize`` for checkpoints that were trained on random crops. Equal to TensorFlow's on a CPU in every value.

    :param images: Shape (n, height, width, channels), uint8.
    :param area: The crop's part of the image's area, 0.9 for the published checkpoints.
    :param size: The height and width to scale it to.
    :return: Shape (n, \\*size, channels), uint8.
    """
    # TensorFlow multiplies by the rounded 1 / 255, which is not the same as dividing
    values = images.float() * float(np.float32(1 / 255))
    for axis, new_size in ((2, size[1]), (1, size[0])):
        positions = th.as_tensor(_crop_positions(images.shape[axis], new_size, area), device=images.device)
        below = positions.floor().long()
        above = positions.ceil().long()
        fraction = (positions - below).view([new_size if dim == axis else 1 for dim in range(4)])
        lower, upper = values.index_select(axis, below), values.index_select(axis, above)
        values = lower + (upper - lower) * fraction
    # TensorFlow's conversion of [0, 1] to 8 bits: 256 equal parts, the last of them up to 255.5
    return (values.clamp(0, 1) * 255.5).byte()

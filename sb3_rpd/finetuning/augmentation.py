"""The image augmentation of OpenVLA's fine-tuning: a random crop of nine tenths of the area, then colors."""

import numpy as np
import torch as th
import torch.nn.functional as F

from sb3_rpd.teachers.openvla.processing import CROP_AREA

# brightness is added; contrast and saturation are factors; hue is turned, 1 being the whole circle
_BRIGHTNESS = 0.2
_CONTRAST = (0.8, 1.2)
_SATURATION = (0.8, 1.2)
_HUE = 0.05


def augment(frames: th.Tensor, rng: np.random.Generator) -> th.Tensor:
    """
    Change each frame at random: crop, brightness, contrast, saturation, hue, in this order and as far as OpenVLA's published
    fine-tuning does. A checkpoint that is trained so wants ``center_crop=True`` afterwards.

    :param frames: Shape (n, height, width, 3), uint8.
    :param rng: Decides how.
    :return: The same shape, uint8.
    """
    n = len(frames)

    def draw(low: float, high: float) -> th.Tensor:
        return th.from_numpy(rng.uniform(low, high, (n, 1, 1, 1)).astype(np.float32)).to(frames.device)

    images = frames.permute(0, 3, 1, 2).float() / 255
    side = CROP_AREA**0.5
    images = crop(images, draw(0, 1 - side).flatten(), draw(0, 1 - side).flatten(), side)
    images = (images + draw(-_BRIGHTNESS, _BRIGHTNESS)).clamp(0, 1)
    images = change_contrast(images, draw(*_CONTRAST)).clamp(0, 1)
    images = change_saturation(images, draw(*_SATURATION))
    images = turn_hue(images, draw(-_HUE, _HUE))
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)


def crop(images: th.Tensor, top: th.Tensor, left: th.Tensor, side: float) -> th.Tensor:
    """
    Cut out a part of each image and scale it to the whole, bilinearly between the corners' centers.

    :param images: Shape (n, 3, height, width).
    :param top: Where each part begins, as a share of the height, shape (n,).
    :param left: The same of the width.
    :param side: The height and width of the parts, as a share.
    :return: The same shape.
    """
    # align_corners: -1 and 1 are the centers of the first and of the last pixel
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = side
    theta[:, 0, 2], theta[:, 1, 2] = 2 * left + side - 1, 2 * top + side - 1
    grid = F.affine_grid(theta, list(images.shape), align_corners=True)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)


def change_contrast(images: th.Tensor, factor: th.Tensor) -> th.Tensor:
    """
    :param images: Shape (n, 3, height, width).
    :param factor: By which the distance of each channel from its mean is multiplied, shape (n, 1, 1, 1).
    :return: The same shape.
    """
    mean = images.mean(dim=(2, 3), keepdim=True)
    return mean + factor * (images - mean)


def change_saturation(images: th.Tensor, factor: th.Tensor) -> th.Tensor:
    """
    :param images: Shape (n, 3, height, width), in [0, 1].
    :param factor: By which the saturation (of hue, saturation and value) is multiplied, at most up to 1; (n, 1, 1, 1).
    :return: The same shape.
    """
    # with hue and value kept, the distance of each channel from the value is as the saturation
    value = images.amax(dim=1, keepdim=True)
    gray = value - images.amin(dim=1, keepdim=True)
    return value - (value - images) * th.minimum(factor, value / gray.clamp(min=1e-12))


def turn_hue(images: th.Tensor, turn: th.Tensor) -> th.Tensor:
    """
    :param images: Shape (n, 3, height, width), in [0, 1].
    :param turn: What is added to the hue (of hue, saturation and value), the whole circle being 1; (n, 1, 1, 1).
    :return: The same shape.
    """
    value = images.amax(dim=1, keepdim=True)
    chroma = value - images.amin(dim=1, keepdim=True)
    red, green, blue = images[:, :1], images[:, 1:2], images[:, 2:]
    safe = chroma.clamp(min=1e-12)
    sixths = th.where(
        value == red,
        (green - blue) / safe,
        th.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    # how far each channel is below the value goes with its place on the circle (Smith 1978, in closed form)
    place = (th.tensor([5.0, 3.0, 1.0], device=images.device).view(1, 3, 1, 1) + sixths + 6 * turn) % 6
    return value - chroma * th.minimum(place, 4 - place).clamp(0, 1)

"""Patches as a short training sees them best: their low frequencies, whitened; folded into a plain convolution at the end."""

import math
from dataclasses import replace

import torch as th

from sb3_rpd.teachers.openvla.config import TrunkConfig
from sb3_rpd.teachers.openvla.vision import PatchEmbedding, VisionTrunk

# a channel of coefficients that hardly varies is not blown up to more than this share of the strongest one's scale
_LEAST_SCALE = 0.01


def cosine_basis(size: int, frequencies: int) -> th.Tensor:
    """
    The lowest frequencies of the orthonormal discrete cosine transform (type II).

    :param size: Length of a signal.
    :param frequencies: How many.
    :return: Shape (size, frequencies).
    """
    places = (th.arange(size, dtype=th.float64) + 0.5)[:, None]
    waves = th.cos(math.pi * th.arange(frequencies) * places / size) * math.sqrt(2 / size)
    waves[:, 0] /= math.sqrt(2)
    return waves.float()


class Whitening:
    """
    Shows a trunk, in place of each patch's pixels, the lowest frequencies of the patch, each with mean 0 and variance 1 over
    the data: an image of ``frequencies`` numbers in place of each ``patch_size`` pixels.

    Neighboring pixels are nearly the same number. In whitened coordinates the gradient's steps are of one size for coarse and
    for fine structure. What is learned is still a linear function of the pixels: see ``fold``.

    :param trunk: The trunk's geometry.
    :param frequencies: How many along each axis of a patch.
    :param images: Normalized images to measure, shape (n, 3, image_size, image_size).
    """

    def __init__(self, trunk: TrunkConfig, frequencies: int, images: th.Tensor) -> None:
        self._trunk = replace(trunk, patch_size=frequencies, image_size=frequencies * (trunk.image_size // trunk.patch_size))
        self._basis = cosine_basis(trunk.patch_size, frequencies).to(images.device)
        coefficients = th.cat([self._transform(piece) for piece in images.chunk(-(-len(images) // 64))])
        self._mean = coefficients.mean(dim=0)
        variance = (coefficients - self._mean).pow(2).mean(dim=0)
        # over the patches as well
        side = variance.shape[-1] // frequencies
        self._std = variance.view(3, side, frequencies, side, frequencies).mean(dim=(1, 3)).sqrt()
        self._std.clamp_(min=float(self._std.max()) * _LEAST_SCALE)

    def __call__(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: Normalized images, shape (n, 3, image_size, image_size).
        :return: What the trunk is shown, shape (n, 3, size, size), where size is ``frequencies`` times a row's patches.
        """
        side = self._mean.shape[-1] // self._std.shape[-1]
        whitened: th.Tensor = (self._transform(images) - self._mean) / self._std.repeat(1, side, side)
        return whitened

    def _transform(self, images: th.Tensor) -> th.Tensor:
        size, frequencies = self._basis.shape
        side = images.shape[-1] // size
        patches = images[..., : side * size, : side * size].reshape(-1, 3, side, size, side, size)
        # along one axis after the other
        both = (patches @ self._basis).transpose(3, 5) @ self._basis
        return both.transpose(3, 5).reshape(-1, 3, side * frequencies, side * frequencies)

    def put_into(self, trunk: VisionTrunk) -> None:
        """
        :param trunk: The trunk; it takes what ``__call__`` gives from here on.
        """
        trunk.patch_embed = PatchEmbedding(self._trunk).to(self._basis.device)

    def fold(self, weights: dict[str, th.Tensor], at: str) -> dict[str, th.Tensor]:
        """
        The weights of a network that sees the pixels and computes the same.

        :param weights: Of the network whose trunk was changed.
        :param at: The trunk's name in the network.
        :return: The weights by their published names: the patch embedding's are of shape (embed_dim, 3, patch_size,
            patch_size), and what it lacks at each position is in the position embeddings.
        """
        name = f"{at}.patch_embed.proj.weight"
        mean, std, basis = self._mean.cpu(), self._std.cpu(), self._basis.cpu()
        per_coefficient = weights[name] / std
        shift = th.nn.functional.conv2d(mean[None], per_coefficient, stride=std.shape[-1]).flatten(2).transpose(1, 2)
        position = f"{at}.pos_embed"
        return weights | {name: basis @ per_coefficient @ basis.T, position: weights[position] - shift}

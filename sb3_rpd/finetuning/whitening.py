"""Patches as a short training sees them best: their low frequencies, whitened; folded into a plain convolution at the end."""

import math

import torch as th
from torch import nn

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


class WhitenedPatches(nn.Module):
    """
    A patch embedding that sees, in place of pixels, the lowest frequencies of each patch, each with mean 0 and variance 1
    over the data.

    Neighboring pixels are nearly the same number. In whitened coordinates the gradient's steps are of one size for coarse and
    for fine structure. What is learned is still a linear function of the pixels: see ``fold``.

    :param convolution: The embedding that it takes the place of; its weights are not used.
    :param frequencies: How many along each axis of a patch.
    :param images: Normalized images to measure, shape (n, 3, image_size, image_size).
    """

    mean: th.Tensor
    std: th.Tensor
    basis: th.Tensor

    def __init__(self, convolution: PatchEmbedding, frequencies: int, images: th.Tensor) -> None:
        super().__init__()
        self._size = convolution.proj.kernel_size[0]
        #: Added to the whitened coefficients, where training wants noise in what is seen: shape (n, patches, coefficients).
        self.noise: th.Tensor | None = None
        self.register_buffer("basis", cosine_basis(self._size, frequencies).to(images.device))
        coefficients = th.cat([self._coefficients(piece) for piece in images.chunk(-(-len(images) // 64))])
        mean = coefficients.mean(dim=0)
        std = (coefficients - mean).pow(2).mean(dim=(0, 1)).sqrt()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std.clamp(min=float(std.max()) * _LEAST_SCALE))
        self.linear = nn.Linear(coefficients.shape[2], convolution.proj.out_channels)

    def _coefficients(self, images: th.Tensor) -> th.Tensor:
        """Shape (n, patches, 3 * frequencies**2): channel, then frequency downward, then to the right."""
        n, _, height, width = images.shape
        size = self._size
        rows, columns = height // size, width // size
        patches = images[:, :, : rows * size, : columns * size].reshape(n, 3, rows, size, columns, size)
        # one axis after the other
        along_width = patches @ self.basis
        both = along_width.transpose(3, 5) @ self.basis
        return both.permute(0, 2, 4, 1, 5, 3).reshape(n, rows * columns, -1)

    def forward(self, images: th.Tensor) -> th.Tensor:
        """
        :param images: Shape (n, 3, image_size, image_size).
        :return: Shape (n, patches, embed_dim).
        """
        whitened = (self._coefficients(images) - self.mean) / self.std
        embedded: th.Tensor = self.linear(whitened if self.noise is None else whitened + self.noise)
        return embedded

    def folded(self) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """
        The same function of the pixels as a convolution.

        :return: Its weight, of shape (embed_dim, 3, patch_size, patch_size), its bias, and what it lacks at each position, of
            shape (patches, embed_dim), which is to be added to the position embeddings.
        """
        per_coefficient = self.linear.weight / self.std
        frequencies = self.basis.shape[1]
        weight = per_coefficient.view(-1, 3, frequencies, frequencies)
        pixels = self.basis @ weight @ self.basis.T
        return pixels, self.linear.bias, -self.mean @ per_coefficient.T


def whiten(trunk: VisionTrunk, frequencies: int, images: th.Tensor) -> None:
    """
    Give a trunk a ``WhitenedPatches``.

    :param trunk: The trunk; it is changed.
    :param frequencies: How many along each axis of a patch.
    :param images: Normalized images to measure, shape (n, 3, image_size, image_size).
    """
    trunk.patch_embed = WhitenedPatches(trunk.patch_embed, frequencies, images)  # type: ignore[assignment]


def fold(weights: dict[str, th.Tensor], trunk: VisionTrunk, at: str) -> dict[str, th.Tensor]:
    """
    The weights of a network without ``WhitenedPatches`` that computes the same.

    :param weights: Of the network with it.
    :param trunk: The trunk that ``whiten`` changed.
    :param at: The trunk's name in the network.
    :return: The weights by their published names.
    """
    patches = trunk.patch_embed
    assert isinstance(patches, WhitenedPatches)
    weight, bias, shift = (tensor.detach().cpu() for tensor in patches.folded())
    kept = {name: tensor for name, tensor in weights.items() if not name.startswith(f"{at}.patch_embed.")}
    kept[f"{at}.patch_embed.proj.weight"], kept[f"{at}.patch_embed.proj.bias"] = weight, bias
    kept[f"{at}.pos_embed"] = weights[f"{at}.pos_embed"] + shift
    return kept

"""Whitened patches: the transform against scipy's, and the convolution that they are folded into."""

from pathlib import Path

import numpy as np
import pytest
import torch as th
from scipy.fft import dctn

from sb3_rpd.finetuning.whitening import WhitenedPatches, cosine_basis, fold, whiten
from sb3_rpd.teachers.openvla import make_small_openvla
from sb3_rpd.teachers.openvla.checkpoint import load_model
from sb3_rpd.teachers.openvla.model import OpenVLAModel


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    return make_small_openvla(
        folder, ["go"], image_size=24, patch_size=8, vision_width=16, text_width=16, vision_mlp=16, text_mlp=16
    )


@pytest.fixture
def model(small: Path) -> OpenVLAModel:
    return load_model(small, th.device("cpu"), th.float32)


@pytest.fixture
def images() -> th.Tensor:
    """Images that are smooth, brighter below, and of another contrast in each channel."""
    noise = th.randn(200, 3, 24, 24, generator=th.Generator().manual_seed(0))
    smooth = noise.cumsum(dim=2).cumsum(dim=3) / 24
    return smooth * th.tensor([1.0, 0.5, 0.1]).view(3, 1, 1) + th.linspace(0, 1, 24).view(24, 1)


def test_the_basis_is_orthonormal() -> None:
    basis = cosine_basis(8, 8).double()

    th.testing.assert_close(basis.T @ basis, th.eye(8, dtype=th.float64), rtol=0, atol=1e-6)


def test_what_is_seen_are_scipys_coefficients_whitened(model: OpenVLAModel, images: th.Tensor) -> None:
    patches = WhitenedPatches(model.vision_backbone.featurizer.patch_embed, 3, images)
    with th.no_grad():
        patches.linear.weight.copy_(th.eye(16, 27))
        patches.linear.bias.zero_()
        seen = patches(images).numpy()

    # patch 5 is the last of the second row; the coefficient 10 is channel 1's, downward 0, to the right 1
    transformed = dctn(images[:, 1, 8:16, 16:24].double().numpy(), axes=(1, 2), norm="ortho")[:, 0, 1]
    np.testing.assert_allclose(seen[:, 5, 10], (transformed - transformed.mean()) / patches.std[10].item(), atol=1e-4)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose((seen**2).mean(axis=(0, 1)), 1, atol=1e-4)


def test_folded_weights_compute_the_same(small: Path, model: OpenVLAModel, images: th.Tensor) -> None:
    trunk = model.vision_backbone.featurizer
    whiten(trunk, 5, images)

    plain = load_model(small, th.device("cpu"), th.float32)
    plain.load_state_dict(fold(dict(model.state_dict()), trunk, "vision_backbone.featurizer"))

    with th.no_grad():
        features, folded = trunk(images), plain.vision_backbone.featurizer(images)
    assert features.std() > 0.1
    th.testing.assert_close(folded, features, rtol=0, atol=2e-5)


def test_noise_is_added_to_what_is_seen(model: OpenVLAModel, images: th.Tensor) -> None:
    patches = WhitenedPatches(model.vision_backbone.featurizer.patch_embed, 2, images)
    with th.no_grad():
        before = patches(images[:3])
        patches.noise = th.ones(3, 9, 12)
        th.testing.assert_close(patches(images[:3]) - before, patches.linear.weight.sum(dim=1).expand(3, 9, 16))

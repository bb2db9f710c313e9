"""Whitened patches: the transform against scipy's, and the convolution that they are folded into."""

from pathlib import Path

import numpy as np
import pytest
import torch as th
from scipy.fft import dctn

from sb3_rpd.finetuning.whitening import Whitening, cosine_basis
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


def test_what_is_shown_are_scipys_coefficients_whitened(model: OpenVLAModel, images: th.Tensor) -> None:
    shown = Whitening(model.config.trunks[0], 3, images)(images).numpy()

    assert shown.shape == (200, 3, 9, 9)
    # the patch at the end of the second row; channel 1, downward 0, to the right 1
    transformed = dctn(images[:, 1, 8:16, 16:24].double().numpy(), axes=(1, 2), norm="ortho")[:, 0, 1]
    centered = transformed - transformed.mean()
    of_patches = [
        dctn(images[:, 1, top : top + 8, left : left + 8].double().numpy(), axes=(1, 2), norm="ortho")[:, 0, 1]
        for top in (0, 8, 16)
        for left in (0, 8, 16)
    ]
    std = np.sqrt(np.mean([one.var() for one in of_patches]))
    np.testing.assert_allclose(shown[:, 1, 3, 7], centered / std, atol=1e-4)
    np.testing.assert_allclose(shown.mean(axis=0), 0, atol=1e-5)


def test_coefficients_that_hardly_vary_are_not_blown_up(model: OpenVLAModel, images: th.Tensor) -> None:
    flat = images * 1e-6
    flat[:, :, ::8, ::8] += th.randn(200, 1, 3, 3, generator=th.Generator().manual_seed(1))
    # one pixel of a patch has all frequencies alike; without it, there is next to nothing
    flat[:, 2] = images[:, 2] * 1e-6

    shown = Whitening(model.config.trunks[0], 3, flat)(flat)

    assert shown[:, :2].std() == pytest.approx(1, abs=0.05)
    assert shown[:, 2].abs().max() < 0.01


def test_folded_weights_compute_the_same(small: Path, model: OpenVLAModel, images: th.Tensor) -> None:
    trunk = model.vision_backbone.featurizer
    whitening = Whitening(model.config.trunks[0], 5, images)
    whitening.put_into(trunk)

    plain = load_model(small, th.device("cpu"), th.float32)
    plain.load_state_dict(whitening.fold(dict(model.state_dict()), "vision_backbone.featurizer"))

    with th.no_grad():
        features, folded = trunk(whitening(images)), plain.vision_backbone.featurizer(images)
    assert features.std() > 0.1
    th.testing.assert_close(folded, features, rtol=0, atol=2e-5)

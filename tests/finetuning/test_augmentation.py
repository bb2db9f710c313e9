"""Each change of an image against a slow or an independent computation."""

import colorsys

import numpy as np
import pytest
import torch as th

from sb3_rpd.finetuning.augmentation import augment, change_contrast, change_saturation, crop, turn_hue
from sb3_rpd.teachers.openvla.resize import crop_center


@pytest.fixture
def images() -> th.Tensor:
    """Four images of noise with some gray, black and white pixels, in [0, 1]."""
    images = th.rand(4, 3, 9, 7, generator=th.Generator().manual_seed(0))
    images[:, :, 0, 0], images[:, :, 0, 1], images[:, :, 0, 2] = 0.0, 1.0, 0.4
    return images


def by_hsv(images: th.Tensor, hue: float = 0.0, saturation: float = 1.0) -> np.ndarray:
    """Pixel by pixel, with Python's own color conversion."""
    changed = np.empty(images.shape)
    for row, y, x in np.ndindex(images.shape[0], *images.shape[2:]):
        h, s, v = colorsys.rgb_to_hsv(*images[row, :, y, x].tolist())
        changed[row, :, y, x] = colorsys.hsv_to_rgb((h + hue) % 1, min(s * saturation, 1.0), v)
    return changed


@pytest.mark.parametrize("turn", [-0.05, 0.0, 0.03, 0.4])
def test_hue_is_turned_as_in_hsv(images: th.Tensor, turn: float) -> None:
    np.testing.assert_allclose(turn_hue(images, th.full((4, 1, 1, 1), turn)), by_hsv(images, hue=turn), atol=2e-6)


@pytest.mark.parametrize("factor", [0.0, 0.8, 1.2, 5.0])
def test_saturation_is_multiplied_as_in_hsv(images: th.Tensor, factor: float) -> None:
    changed = change_saturation(images, th.full((4, 1, 1, 1), factor))

    np.testing.assert_allclose(changed, by_hsv(images, saturation=factor), atol=2e-6)


def test_contrast_by_hand() -> None:
    image = th.tensor([[[[0.2, 0.4]], [[0.5, 0.5]], [[0.0, 1.0]]]])

    changed = change_contrast(image, th.full((1, 1, 1, 1), 0.5))

    th.testing.assert_close(changed, th.tensor([[[[0.25, 0.35]], [[0.5, 0.5]], [[0.25, 0.75]]]]))


def test_the_crop_in_the_middle_is_the_one_of_openvlas_evaluations(images: th.Tensor) -> None:
    frames = (images * 255).byte().permute(0, 2, 3, 1)
    side = 0.9**0.5
    start = th.full((4,), (1 - side) / 2)

    cropped = crop(frames.permute(0, 3, 1, 2).float() / 255, start, start, side)

    # that one is rounded to 8 bits
    expected = crop_center(frames, 0.9, (9, 7)).permute(0, 3, 1, 2).float() / 255
    assert (cropped - expected).abs().max() < 1 / 255


def test_a_crop_begins_where_it_is_told_to() -> None:
    ramp = th.linspace(0, 1, 11).expand(2, 3, 11, 11)  # to the right

    cropped = crop(ramp, top=th.tensor([0.3, 0.0]), left=th.tensor([0.1, 0.5]), side=0.5)

    th.testing.assert_close(cropped[0, 0, 4], th.linspace(0.1, 0.6, 11))
    th.testing.assert_close(cropped[1, 0, 4], th.linspace(0.5, 1.0, 11))
    th.testing.assert_close(
        crop(ramp.mT, th.tensor([0.3, 0.0]), th.tensor([0.1, 0.5]), 0.5)[0, 0, :, 4], th.linspace(0.3, 0.8, 11)
    )


def test_each_frame_is_changed_differently_and_by_the_generator_alone(images: th.Tensor) -> None:
    frames = (images[:1] * 255).byte().permute(0, 2, 3, 1).expand(5, -1, -1, -1)

    once, again = (augment(frames, np.random.default_rng(3)) for _ in range(2))

    assert once.dtype == th.uint8
    assert once.shape == frames.shape
    assert th.equal(once, again)
    assert len(np.unique(once.reshape(5, -1).numpy(), axis=0)) == 5


def test_a_gray_image_becomes_brighter_or_darker_by_at_most_a_fifth() -> None:
    gray = th.full((500, 8, 8, 3), 128, dtype=th.uint8)

    levels = augment(gray, np.random.default_rng(0)).float().reshape(500, -1)

    # neither crop nor contrast, saturation or hue changes it
    assert (levels.std(dim=1) == 0).all()
    assert levels[:, 0].min() == pytest.approx(128 - 0.2 * 255, abs=2)
    assert levels[:, 0].max() == pytest.approx(128 + 0.2 * 255, abs=2)

"""Means over areas (sb3_rpd/envs/downscaling.py)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.envs.downscaling import Downscaling


def test_by_hand() -> None:
    """Three columns to two: each new one is one old one and half of the middle one. Two rows to one: their mean."""
    image = np.array([[[0], [60], [120]], [[30], [90], [240]]], np.uint8)
    # Rows: 15, 75, 180; columns: (15 + 75 / 2) / 1.5 and (75 / 2 + 180) / 1.5
    assert Downscaling((2, 3), (1, 2))(image).tolist() == [[[35], [145]]]


@given(height=st.integers(1, 4), width=st.integers(1, 4), by=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_whole_ratios_are_means_of_blocks(height: int, width: int, by: tuple[int, int]) -> None:
    old = (height * by[0], width * by[1])
    image = np.random.default_rng(0).integers(0, 256, (*old, 3), np.uint8)
    exact = image.astype(np.float64).reshape(height, by[0], width, by[1], 3).mean(axis=(1, 3))
    scaled = Downscaling(old, (height, width))(image)
    assert (scaled.dtype, scaled.shape) == (np.uint8, (height, width, 3))
    np.testing.assert_allclose(scaled, exact, rtol=0, atol=0.5001)


@pytest.mark.maniskill2
def test_close_to_opencvs_area_interpolation() -> None:
    import cv2  # ManiSkill2 brings it

    image = np.random.default_rng(0).integers(0, 256, (224, 240, 3), np.uint8)
    theirs = cv2.resize(image, (128, 96), interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(Downscaling((224, 240), (96, 128))(image).astype(int), theirs, rtol=0, atol=1)


def test_longer_sides_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images of 8 x 9 pixels cannot be made of frames of 8 x 8.*larger frame_size"):
        Downscaling((8, 8), (8, 9))

"""Resizing against Pillow; the center crop against its formula, and against TensorFlow in every value."""

import hashlib
import math

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sb3_rpd.teachers.openvla.resize import crop_center, resize_bicubic, resize_by_matrices

sides = st.integers(1, 70)


@settings(deadline=None, max_examples=60)
@given(height=sides, width=sides, new_height=sides, new_width=sides, seed=st.integers(0, 2**16))
def test_resize_equals_pillow_to_the_last_bit(height: int, width: int, new_height: int, new_width: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    # black and white noise overshoots the most
    images = rng.choice([0, 1, 128, 254, 255], size=(2, height, width, 3)).astype(np.uint8)

    by_matrices = resize_by_matrices(th.from_numpy(images), (new_height, new_width)).numpy()
    on_cpu = resize_bicubic(th.from_numpy(images), (new_height, new_width)).numpy()

    np.testing.assert_array_equal(by_matrices, on_cpu)
    for image, result in zip(images, by_matrices, strict=True):
        # in two calls: which axis a single call does first depends on Pillow's release and on the shape
        narrow = Image.fromarray(image).resize((new_width, height), Image.Resampling.BICUBIC)
        expected = np.asarray(narrow.resize((new_width, new_height), Image.Resampling.BICUBIC))
        np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(("side", "new_side"), [(256, 224), (128, 224), (224, 224), (480, 224), (300, 384)])
def test_resize_of_square_frames_equals_one_call_of_pillow(side: int, new_side: int) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)

    resized = resize_by_matrices(th.from_numpy(frame[None]), (new_side, new_side))[0].numpy()

    expected = np.asarray(Image.fromarray(frame).resize((new_side, new_side), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resized, expected)


def test_center_crop_to_the_formula() -> None:
    image = np.random.default_rng(1).integers(0, 256, (20, 30, 3), dtype=np.uint8)

    cropped = crop_center(th.from_numpy(image[None]), area=0.9, size=(7, 9))[0].numpy()

    side = math.sqrt(0.9)
    for row in range(7):
        y = (0.5 - side / 2) * 19 + row * side * 19 / 6
        for column in range(9):
            x = (0.5 - side / 2) * 29 + column * side * 29 / 8
            top, left = int(y), int(x)
            patch = image[top : top + 2, left : left + 2] / 255
            above = patch[0, 0] + (patch[0, 1] - patch[0, 0]) * (x - left)
            below = patch[1, 0] + (patch[1, 1] - patch[1, 0]) * (x - left)
            exact = (above + (below - above) * (y - top)) * 255.5
            assert (np.abs(cropped[row, column] - (exact - 0.5)) <= 0.5 + 1e-3).all()


def picture(height: int, width: int) -> np.ndarray:
    """Slopes, edges and noise from whole numbers, the same everywhere."""
    y, x, c = np.ogrid[:height, :width, :3]
    return ((y * (31 + c) + x * (17 - 5 * c) + x * y * (c + 1) // 7 + 64 * c) % 256).astype(np.uint8)


# What TensorFlow 2.21 gives on a CPU for the pictures above, by the steps of OpenVLA's evaluations:
#
#     images = tf.image.convert_image_dtype(picture(height, width)[None], tf.float32)
#     side = tf.sqrt(tf.constant([0.9]))
#     start = (1 - side) / 2
#     boxes = tf.stack([start, start, start + side, start + side], axis=1)
#     cropped = tf.clip_by_value(tf.image.crop_and_resize(images, boxes, [0], (new_height, new_width)), 0, 1)
#     tf.image.convert_image_dtype(cropped, tf.uint8, saturate=True).numpy()[0]
#
# 12 x 16 to 4 x 5, in full
TENSORFLOW_4_BY_5 = [
    [[15, 77, 140], [75, 120, 165], [136, 163, 191], [197, 206, 216], [185, 177, 169]],
    [[123, 189, 60], [185, 235, 32], [150, 56, 60], [54, 72, 90], [116, 119, 121]],
    [[208, 45, 114], [39, 95, 150], [103, 145, 186], [168, 195, 219], [194, 184, 197]],
    [[83, 156, 230], [149, 210, 87], [215, 80, 56], [24, 61, 97], [90, 115, 139]],
]


def test_center_crop_of_a_small_picture_equals_tensorflow() -> None:
    cropped = crop_center(th.from_numpy(picture(12, 16)[None]), area=0.9, size=(4, 5))[0]

    assert cropped.tolist() == TENSORFLOW_4_BY_5


@pytest.mark.parametrize(
    ("size", "new_size", "tensorflow"),
    [
        ((256, 256), (224, 224), "b6ae658f00637604"),
        ((480, 640), (224, 224), "64e261f6e4097922"),
        ((128, 100), (224, 224), "73ec324100e7cc33"),
        ((300, 384), (384, 384), "6b254f20d0ba655f"),
        ((720, 1280), (224, 224), "e98ef823fb2975ca"),
        ((64, 80), (56, 56), "5428a11bc169ed94"),
        ((1, 9), (5, 1), "8972499cc46f62b6"),
    ],
)
def test_center_crop_equals_tensorflow_in_every_value(
    size: tuple[int, int], new_size: tuple[int, int], tensorflow: str
) -> None:
    cropped = crop_center(th.from_numpy(picture(*size)[None]), area=0.9, size=new_size)[0].numpy()

    # 64 bits of the SHA-256 of the bytes
    assert hashlib.sha256(cropped.tobytes()).hexdigest()[:16] == tensorflow

"""Frames and prompts against Pillow, numpy and sentences spelled out by hand."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla.checkpoint import read_json
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.processing import ImageProcessor, PromptProcessor
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


def test_pixels_of_the_published_preprocessor(tiny: Path, frames: np.ndarray) -> None:
    pixels = ImageProcessor.from_json(read_json(tiny, "preprocessor_config.json"))(th.from_numpy(frames)).numpy()

    assert pixels.shape == (6, 6, 56, 56)
    assert pixels.dtype == np.float32
    for frame, result in zip(frames, pixels, strict=True):
        narrow = Image.fromarray(frame).resize((56, 64), Image.Resampling.BICUBIC)
        unit = np.asarray(narrow.resize((56, 56), Image.Resampling.BICUBIC)).transpose(2, 0, 1) / 255
        # the rounded numbers under tvf_normalize_params, not 0.485 and 0.229
        for channel, (mean, std) in enumerate([(0.484375, 0.228515625), (0.455078125, 0.2236328125), (0.40625, 0.224609375)]):
            np.testing.assert_allclose(result[channel], (unit[channel] - mean) / std, atol=2e-6)
        np.testing.assert_allclose(result[3:], unit * 2 - 1, atol=2e-6)


def test_center_crop_by_hand() -> None:
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


def test_center_crop_is_an_option(tiny: Path, frames: np.ndarray) -> None:
    config = read_json(tiny, "preprocessor_config.json")
    cropped = crop_center(th.from_numpy(frames), area=0.9, size=(56, 56))

    with_crop = ImageProcessor.from_json(config, center_crop=True)(th.from_numpy(frames))

    th.testing.assert_close(with_crop, ImageProcessor.from_json(config)(cropped), rtol=0, atol=0)


@pytest.mark.parametrize(
    "change",
    [{"image_resize_strategy": "letterbox"}, {"tvf_resize_params": [{"interpolation": 2, "size": [56, 56]}]}],
    ids=["letterbox", "bilinear"],
)
def test_other_ways_of_resizing_are_refused(tiny: Path, change: dict) -> None:
    with pytest.raises(TeacherError, match="resize-naive"):
        ImageProcessor.from_json({**read_json(tiny, "preprocessor_config.json"), **change})


def words_of(text: str, first: int = 5) -> list[int]:
    """Word numbers of the tiny tokenizer: 3 is a space, 4 a line break, then the printable characters by their code."""
    return [{" ": 3, "\n": 4}.get(character, ord(character) - 33 + first) for character in text]


def test_prompt_by_hand(tiny: Path) -> None:
    make_prompt = PromptProcessor(tiny, OpenVLAConfig.from_json(read_json(tiny, "config.json")))

    # <s>, a space that Llama's tokenizer puts in front, lower case, the empty word at the end
    assert make_prompt("Lift the RED cube") == [
        1,
        3,
        *words_of("In: What action should the robot take to lift the red cube?\nOut:"),
        3,
    ]


def test_prompt_of_version_0_1(tiny: Path) -> None:
    config = {**read_json(tiny, "config.json"), "llm_backbone_id": "vicuna-v15-7b"}

    words = PromptProcessor(tiny, OpenVLAConfig.from_json(config))("Push")

    expected = (
        "A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, and "
        "polite answers to the user's questions. USER: What action should the robot take to push? ASSISTANT:"
    )
    assert words == [1, 3, *words_of(expected), 3]


def test_a_tokenizer_without_bos_gets_one(own_tiny: Path) -> None:
    config = OpenVLAConfig.from_json(read_json(own_tiny, "config.json"))
    expected = PromptProcessor(own_tiny, config)("push")
    tokenizer = read_json(own_tiny, "tokenizer.json")
    tokenizer["post_processor"] = None
    (own_tiny / "tokenizer.json").write_text(json.dumps(tokenizer))

    assert PromptProcessor(own_tiny, config)("push") == expected


def test_a_missing_tokenizer_is_named(own_tiny: Path) -> None:
    (own_tiny / "tokenizer.json").unlink()

    with pytest.raises(TeacherError, match=r"no tokenizer\.json"):
        PromptProcessor(own_tiny, OpenVLAConfig.from_json(read_json(own_tiny, "config.json")))

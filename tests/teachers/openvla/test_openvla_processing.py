"""Frames and prompts against Pillow, numpy and sentences spelled out by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch as th
from PIL import Image

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla.checkpoint import read_json
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.processing import ImageProcessor, PromptProcessor
from sb3_rpd.teachers.openvla.resize import crop_center


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

"""A checkpoint of any geometry: its size by hand, its words, its positions."""

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch as th

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla import OpenVLATeacher, make_small_openvla
from sb3_rpd.teachers.openvla.checkpoint import load_model, read_json
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.processing import PromptProcessor

INSTRUCTIONS = ["lift up the cube", "Push the cube away"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_small_openvla(tmp_path_factory.mktemp("small"), INSTRUCTIONS)


def test_number_of_parameters_by_hand(small: Path) -> None:
    weights = safetensors.torch.load_file(small / "model.safetensors")

    patches = 128 * (3 * 28 * 28 + 1) + 64 * 128 + 5 * 128  # embedding, positions, class and register tokens
    block = 4 * 128 + 3 * 128 * 129 + 128 * 129 + 384 * 129 + 128 * 385  # norms, attention, MLP
    projector = 2 * 128 * 129
    layer = 2 * 128 + 4 * 128 * 128 + 3 * 128 * 256
    # 4 special words, 8 of the prompt, "Out:", those of the instructions, 256 for actions, 64 rows of padding
    vocabulary = 4 + 8 + 1 + 6 + 256 + 64
    total = patches + 3 * block + 2 * 128 + projector + 2 * layer + 128 + 2 * vocabulary * 128
    assert sum(one.numel() for one in weights.values()) == total


def test_each_word_of_the_instructions_is_one_word(small: Path) -> None:
    prompt = PromptProcessor(small, OpenVLAConfig.from_json(read_json(small, "config.json")))

    lift, push = (prompt(instruction) for instruction in INSTRUCTIONS)

    # <s>, eight words, four of the instruction, "Out:", the empty word
    assert len(lift) == len(push) == 15
    assert 0 not in lift + push
    assert lift[:9] == push[:9]
    assert lift[-2:] == push[-2:]
    assert 0 in prompt("stack it")


def test_positions_tell_rows_and_columns_apart(small: Path) -> None:
    positions = safetensors.torch.load_file(small / "model.safetensors")["vision_backbone.featurizer.pos_embed"][0].view(
        8, 8, 128
    )

    rows, columns = positions.split(64, dim=2)
    assert th.equal(rows, rows[:, :1].expand(8, 8, 64))
    assert th.equal(columns, columns[:1].expand(8, 8, 64))
    # half of a sine and a cosine of the row, of the highest frequency
    th.testing.assert_close(rows[:, 0, 0], 0.5 * th.arange(8.0).sin())
    th.testing.assert_close(rows[:, 0, 32], 0.5 * th.arange(8.0).cos())
    # and of the lowest
    th.testing.assert_close(rows[:, 0, 31], 0.5 * (th.arange(8.0) * 100.0 ** (-31 / 32)).sin())


def test_weights_depend_on_the_seed_alone(small: Path, tmp_path: Path) -> None:
    state = th.get_rng_state()
    same, other = (
        make_small_openvla(tmp_path / "same", INSTRUCTIONS),
        make_small_openvla(tmp_path / "other", INSTRUCTIONS, seed=1),
    )

    assert th.equal(th.get_rng_state(), state)
    assert (same / "model.safetensors").read_bytes() == (small / "model.safetensors").read_bytes()
    assert (other / "model.safetensors").read_bytes() != (small / "model.safetensors").read_bytes()


def test_weights_in_another_precision_are_the_same_weights(small: Path, tmp_path: Path) -> None:
    half = make_small_openvla(tmp_path, INSTRUCTIONS, dtype=th.float16)

    assert read_json(half, "config.json")["torch_dtype"] == "float16"
    whole = safetensors.torch.load_file(small / "model.safetensors")
    rounded = safetensors.torch.load_file(half / "model.safetensors")
    assert rounded.keys() == whole.keys()
    for name, weights in rounded.items():
        assert weights.dtype == th.float16
        assert th.equal(weights, whole[name].half())


def test_any_geometry_is_read(tmp_path: Path) -> None:
    folder = make_small_openvla(
        tmp_path,
        ["go"],
        image_size=40,
        patch_size=10,
        vision_width=24,
        vision_depth=2,
        vision_heads=3,
        vision_mlp=20,
        text_width=32,
        text_depth=1,
        text_heads=2,
        text_mlp=40,
    )

    model = load_model(folder, th.device("cpu"), th.float32)
    model.checks_first_words = False
    logits = model.action_logits(th.zeros(2, 3, 40, 40), [[1, 4, 3]] * 2, action_dim=2)

    assert logits.shape == (2, 2, 256)
    assert len(model.vision_backbone.featurizer.blocks) == 2
    with pytest.raises(TeacherError, match="no statistics for unnorm_key"):
        OpenVLATeacher(folder, instruction="go", device="cpu").predict(np.zeros((1, 40, 40, 3), np.uint8))


def test_no_instruction_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs the instructions"):
        make_small_openvla(tmp_path, [])

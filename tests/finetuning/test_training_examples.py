"""From demonstrations to words, by hand and with the teacher's own processors."""

from pathlib import Path

import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.demonstrations import Demonstrations
from sb3_rpd.finetuning.examples import (
    Examples,
    action_statistics,
    check_labels,
    pieces,
    rows_of_step,
    spread_rows,
    to_data_units,
)
from sb3_rpd.teachers.openvla.actions import ActionDecoder, bin_values, words_for
from sb3_rpd.teachers.openvla.checkpoint import read_json
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.processing import ImageProcessor, PromptProcessor


def test_words_by_hand() -> None:
    # intervals of width 2 / 255 from -1 on; the last word is the lowest, and 1 itself has a word of its own
    width = 2 / 255
    numbers = np.array([-1.0, -1 + 0.9 * width, -1 + 1.1 * width, 0.0, 1 - 0.1 * width, 1.0])

    assert words_for(numbers, 256).tolist() == [255, 255, 254, 128, 1, 0]


@given(st.floats(-1, 1))
def test_a_word_means_what_it_was_chosen_for(number: float) -> None:
    word = int(words_for(np.array(number), 256))

    assert abs(bin_values(256)[word] - number) <= 1 / 255 + 1e-12


def test_normalizing_undoes_the_decoder() -> None:
    decoder = ActionDecoder.from_statistics({"q01": [-1.0, 0.0, 2.0, 0.0], "q99": [3.0, 0.5, 2.0, 1.0], "mask": [1, 1, 1, 0]})

    normalized = decoder.normalize(np.array([[0.0, 0.5, 2.0, 0.25], [9.0, -1.0, 7.0, 1.0]]))

    # the middle of [-1, 3] is 1; what is outside is clipped; a constant is 0; the gripper stays
    np.testing.assert_allclose(normalized, [[-0.5, 1.0, 0.0, 0.25], [1.0, -1.0, 0.0, 1.0]])


def test_a_batch_has_what_the_teacher_would_make_of_its_frames(tiny: Path, demonstrations: Demonstrations) -> None:
    statistics = action_statistics(to_data_units("signed_gripper")(demonstrations.actions), gripper=True)
    examples = Examples(
        tiny, demonstrations, statistics, convert_actions="signed_gripper", camera=None, device=th.device("cpu")
    )
    rows = np.array([3, 0, len(demonstrations) - 1])

    batch = examples.batch(rows)

    process = ImageProcessor.from_json(read_json(tiny, "preprocessor_config.json"))
    frames = np.stack([demonstrations.image(row) for row in rows])
    assert th.equal(batch.images, process(th.from_numpy(frames)))
    prompt = PromptProcessor(tiny, OpenVLAConfig.from_json(read_json(tiny, "config.json")))
    assert batch.prompts == [prompt(demonstrations.instructions[row]) for row in rows]
    assert len({len(one) for one in batch.prompts}) == 2
    # a closed gripper is -1 in the environment and 0 in the data, which is the middle word
    assert batch.words[:, 2].tolist() == [128, 128, 128]
    low, high = np.quantile(demonstrations.actions[:, :2].astype(np.float64), [0.01, 0.99], axis=0)
    expected = np.clip(2 * (demonstrations.actions[rows, :2] - low) / (high - low) - 1, -1, 1)
    np.testing.assert_allclose(batch.normalized[:, :2], expected, atol=1e-6)
    np.testing.assert_allclose(bin_values(256)[batch.words[:, :2]], expected, atol=1 / 255 + 1e-6)


def test_an_image_is_decoded_once(tiny: Path, demonstrations: Demonstrations, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = action_statistics(demonstrations.actions, gripper=False)
    examples = Examples(tiny, demonstrations, statistics, convert_actions=None, camera=None, device=th.device("cpu"))
    first = examples.batch(np.array([0, 1]))
    monkeypatch.setattr(demonstrations, "image", None)

    assert th.equal(examples.batch(np.array([0, 1])).images, first.images)


def test_units_without_a_way_back_are_refused() -> None:
    np.testing.assert_array_equal(to_data_units("signed_gripper")(np.array([[0.3, -1.0], [0.3, 1.0]])), [[0.3, 0], [0.3, 1]])
    np.testing.assert_array_equal(to_data_units("inverted_gripper")(np.array([[0.3, -1.0]])), [[0.3, 1.0]])
    np.testing.assert_array_equal(to_data_units(None)(np.array([[0.3, -1.0]])), [[0.3, -1.0]])
    with pytest.raises(ValueError, match="cannot be undone"):
        to_data_units(lambda actions: actions)


def test_labels_that_there_are_no_words_for_are_refused() -> None:
    check_labels(np.array([[7.0, -1.0], [0.0, 1.0]]), gripper=True)
    check_labels(np.array([[7.0, 0.04]]), gripper=False)
    with pytest.raises(ValueError, match=r"goes from 0 to 255, and there are words for -1 to 1 only"):
        check_labels(np.array([[0.0, 0.0], [0.0, 255.0]]), gripper=True)
    with pytest.raises(ValueError, match="choices of a Discrete space"):
        check_labels(np.array([[1], [0]]), gripper=False)


@given(st.integers(1, 20), st.integers(1, 8), st.integers(0, 1000))
def test_every_frame_has_its_turn_once_an_epoch(n: int, count: int, seed: int) -> None:
    sequence = np.concatenate([rows_of_step(n, count, step, seed) for step in range(3 * n)])

    for epoch in range(len(sequence) // n):
        assert sorted(sequence[epoch * n : (epoch + 1) * n]) == list(range(n))


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    orders = [rows_of_step(50, 50, step, seed).tolist() for step in range(2) for seed in range(2)]

    assert len({tuple(order) for order in orders}) == 4


def test_rows_are_spread_and_cut() -> None:
    assert spread_rows(11, 3).tolist() == [0, 5, 10]
    assert spread_rows(3, 10).tolist() == [0, 1, 2]
    assert [piece.tolist() for piece in pieces(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]

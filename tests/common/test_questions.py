"""Batches of questions, cut into pieces and parts."""

import numpy as np
import pytest

from sb3_rpd.common.questions import Questions

STATES = np.arange(14).reshape(7, 2)
TEXTS = [f"go {row}" for row in range(7)]


def test_length_is_that_of_the_arrays_or_of_the_instructions() -> None:
    assert len(Questions(STATES)) == 7
    assert len(Questions({"a": STATES[:3], "b": STATES[:3]})) == 3
    assert len(Questions({}, ["go", "go"])) == 2
    assert len(Questions({})) == 0


def test_single_array_is_called_observation() -> None:
    assert list(Questions(STATES).named_observations) == ["observation"]
    assert Questions(STATES).named_observations["observation"] is STATES
    named = {"a": STATES}
    assert Questions(named).named_observations is named


def test_rows_of_named_observations_with_their_instructions() -> None:
    rows = Questions({"a": STATES, "b": -STATES[:, 0]}, TEXTS).rows(5, 9)
    assert rows.observations["a"].tolist() == [[10, 11], [12, 13]]
    assert rows.observations["b"].tolist() == [-10, -12]
    assert rows.instructions == ["go 5", "go 6"]


@pytest.mark.parametrize(("size", "lengths"), [(1, [1] * 7), (3, [3, 3, 1]), (7, [7]), (100, [7])])
def test_pieces_are_of_one_size_but_for_the_last(size: int, lengths: list[int]) -> None:
    pieces = Questions(STATES, TEXTS).pieces(size)
    assert [len(piece) for piece in pieces] == lengths
    np.testing.assert_array_equal(np.concatenate([piece.observations for piece in pieces]), STATES)
    assert [text for piece in pieces for text in piece.instructions] == TEXTS


@pytest.mark.parametrize(("count", "lengths"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (9, [0, 1, 1, 1, 0, 1, 1, 1, 1])])
def test_parts_are_of_one_size_but_for_one_state(count: int, lengths: list[int]) -> None:
    parts = Questions(STATES).parts(count)
    assert [len(part) for part in parts] == lengths
    np.testing.assert_array_equal(np.concatenate([part.observations for part in parts]), STATES)
    assert all(part.instructions is None for part in parts)


def test_bytes_of_a_row() -> None:
    batch = Questions({"image": np.zeros((9, 10, 10, 3), np.uint8), "state": np.zeros((9, 2), np.float32)})
    assert batch.bytes_per_row == 308

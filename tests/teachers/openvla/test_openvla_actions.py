"""Bins and un-normalization by hand."""

import numpy as np
import pytest

from sb3_rpd.teachers.openvla.actions import ActionDecoder, bin_values

STATISTICS = {"q01": [-1.0, 0.0, 0.0], "q99": [3.0, 0.5, 1.0], "mask": [True, True, False]}


def test_bins_by_hand() -> None:
    values = bin_values(256)

    # 255 intervals of width 2 / 255; the last word is the lowest interval, the first two are the highest
    assert values.shape == (256,)
    assert values[255] == pytest.approx(-1 + 1 / 255)
    assert values[254] == pytest.approx(-1 + 3 / 255)
    assert values[128] == pytest.approx(0.0, abs=1e-12)
    assert values[1] == pytest.approx(1 - 1 / 255)
    assert values[0] == values[1]


def certain(words: list[int]) -> np.ndarray:
    """Logits of one row that leave no doubt."""
    logits = np.full((1, len(words), 256), -1e4, dtype=np.float32)
    logits[0, range(len(words)), words] = 0.0
    return logits


def test_unnormalization_by_hand() -> None:
    actions, std = ActionDecoder.from_statistics(STATISTICS)(certain([255, 128, 1]))

    # lowest bin of [-1, 3], the middle of [0, 0.5], and the gripper as it is
    np.testing.assert_allclose(actions, [[-1 + 2 / 255, 0.25, 254 / 255]], rtol=1e-6)
    np.testing.assert_array_equal(std, np.zeros((1, 3)))
    assert actions.dtype == std.dtype == np.float64


def test_range_is_that_of_the_statistics() -> None:
    decoder = ActionDecoder.from_statistics(STATISTICS)

    np.testing.assert_array_equal(decoder.low, [-1, 0, 0])
    np.testing.assert_array_equal(decoder.high, [3, 0.5, 1])


def test_without_a_mask_everything_is_normalized() -> None:
    statistics = {"q01": [2.0], "q99": [4.0]}

    np.testing.assert_allclose(ActionDecoder.from_statistics(statistics)(certain([128]))[0], [[3.0]])


def test_mean_and_standard_deviation_by_hand() -> None:
    # three quarters for the value 0, one quarter for the value 40 / 255
    logits = np.full((1, 3, 256), -1e4, dtype=np.float32)
    logits[0, :, 128], logits[0, :, 108] = np.log(0.75), np.log(0.25)
    spread = np.sqrt(0.75 * 0.25) * 40 / 255

    greedy, std = ActionDecoder.from_statistics(STATISTICS)(logits)
    mean, same_std = ActionDecoder.from_statistics(STATISTICS, decode="mean")(logits)

    np.testing.assert_allclose(greedy, [[1.0, 0.25, 0.0]], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(mean, [[1 + 2 * 10 / 255, 0.25 + 0.25 * 10 / 255, 10 / 255]], rtol=1e-6)
    # in the units of each dimension: half its range
    np.testing.assert_allclose(std, [[2 * spread, 0.25 * spread, spread]], rtol=1e-5)
    np.testing.assert_array_equal(std, same_std)

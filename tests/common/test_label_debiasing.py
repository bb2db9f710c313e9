"""The correction that is learned from the reward: its gradients by hand, when it moves, what becomes of labels."""

import math
import pickle
from collections.abc import Callable

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.label_debiasing import LabelDebiasing

BOX = spaces.Box(np.array([-1.0, -2.0], np.float32), np.array([1.0, 6.0], np.float32))


def update(
    debiasing: LabelDebiasing, progress_remaining: float = 0.0, success_rate: float | None = None
) -> tuple[np.ndarray, np.ndarray]:
    debiasing.update(
        np.array([1.0, 2.0, 6.0]),
        np.array([[1.0, 0.0], [-1.0, 2.0], [0.5, 1.0]]),
        np.array([[0.5, 4.0], [np.nan, np.nan], [-1.0, 2.0]]),
        np.array([1.0, 4.0]),
        progress_remaining=progress_remaining,
        success_rate=success_rate,
    )
    assert debiasing.bias is not None
    assert debiasing.gain is not None
    return debiasing.bias, debiasing.gain


def test_gradients_by_hand() -> None:
    # the advantages' mean is 3, their standard deviation sqrt((4 + 1 + 9) / 3)
    a, b, c = (advantage / math.sqrt(14 / 3) for advantage in (-2, -1, 3))
    of_offset = np.array([(a * 1.0 - b * 1.0 + c * 0.5) / 3, 4.0 * (b * 2.0 + c * 1.0) / 3])
    # two have a label, which are 0.75 and 1 from their mean; the third counts as nothing
    mean = np.array([-0.25, 3.0])
    of_gain = np.array([(a * 1.0 * 0.75 - c * 0.5 * 0.75) / 3, (a * 0.0 * 1.0 - c * 1.0 * 1.0) / 4.0 / 3])
    debiasing = LabelDebiasing(step_size=0.1, gain_step_size=0.2, start=0.0)

    bias, gain = update(debiasing)
    np.testing.assert_allclose(bias, 0.1 * of_offset - 0.2 * of_gain * mean, rtol=1e-6)
    np.testing.assert_allclose(gain, 0.2 * of_gain, rtol=1e-6)
    bias, gain = update(debiasing, success_rate=0.75)
    np.testing.assert_allclose(bias, 0.125 * of_offset - 0.25 * of_gain * mean, rtol=1e-6)
    np.testing.assert_allclose(gain, 0.25 * of_gain, rtol=1e-6)


def test_without_labels_the_gain_stays() -> None:
    debiasing = LabelDebiasing(start=0.0)
    advantages, deviations = np.array([0.0, 1.0]), np.array([[-1.0], [1.0]])
    debiasing.update(advantages, deviations, np.full((2, 1), np.nan), np.ones(1), progress_remaining=1.0, success_rate=None)
    assert debiasing.bias == pytest.approx([0.3])
    assert debiasing.gain == pytest.approx([0.0])


@pytest.mark.parametrize(("progress_remaining", "moves"), [(1.0, False), (0.76, False), (0.75, True), (0.0, True)])
def test_it_starts_after_a_part_of_the_training(progress_remaining: float, moves: bool) -> None:
    bias, gain = update(LabelDebiasing(start=0.25), progress_remaining)
    assert bias.any() == gain.any() == moves


@pytest.mark.parametrize(("success_rate", "factor"), [(None, 1.0), (math.nan, 1.0), (0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_success_holds_it(success_rate: float | None, factor: float) -> None:
    small = dict(gain_step_size=0.1)
    for expected, found in zip(
        update(LabelDebiasing(**small)), update(LabelDebiasing(**small), success_rate=success_rate), strict=True
    ):
        np.testing.assert_allclose(found, factor * expected)


def climb(teacher: Callable[[np.ndarray], np.ndarray], best: Callable[[np.ndarray], np.ndarray]) -> LabelDebiasing:
    """A student that does what it is told, with noise; its reward falls with the distance from the best action."""
    generator = np.random.default_rng(0)
    debiasing = LabelDebiasing(step_size=0.03, gain_step_size=0.1, start=0.0)
    debiasing.bias, debiasing.gain = np.zeros((2, 2))
    for _ in range(800):
        states = generator.uniform(-1, 1, (256, 2))
        labels, deviations = teacher(states), generator.standard_normal((256, 2))
        mean = (1 + debiasing.gain) * labels + debiasing.bias
        returns = -((mean + 0.2 * deviations - best(states)) ** 2).sum(axis=1)
        debiasing.update(returns, deviations, labels, np.ones(2), progress_remaining=0.0, success_rate=None)
    return debiasing


def test_it_climbs_to_the_offset_that_pays_most() -> None:
    debiasing = climb(lambda states: states + np.array([0.5, -0.5]), lambda states: states)
    np.testing.assert_allclose(debiasing.bias, [-0.5, 0.5], atol=0.1)
    np.testing.assert_allclose(debiasing.gain, [0.0, 0.0], atol=0.1)


def test_it_turns_an_axis_with_the_wrong_sign_around() -> None:
    debiasing = climb(lambda states: states * np.array([1.0, -1.0]), lambda states: states)
    np.testing.assert_allclose(debiasing.gain, [0.0, -2.0], atol=0.1)
    np.testing.assert_allclose(debiasing.bias, [0.0, 0.0], atol=0.1)


def test_a_gain_leaves_the_average_label_where_it_is() -> None:
    debiasing = LabelDebiasing(step_size=1e-9, gain_step_size=0.5, start=0.0)
    _, gain = update(debiasing)
    assert np.abs(gain).min() > 0.01
    corrected = debiasing.correct(np.array([[0.5, 4.0], [-1.0, 2.0]]), BOX)
    np.testing.assert_allclose(corrected.mean(axis=0), [-0.25, 3.0], atol=1e-6)


def test_a_label_that_is_always_the_same_keeps_its_gain() -> None:
    debiasing = LabelDebiasing(start=0.0)
    signs = np.array([1.0, -1.0])
    debiasing.update(signs, signs[:, np.newaxis], np.ones((2, 1)), np.ones(1), progress_remaining=0.0, success_rate=None)
    assert debiasing.gain == pytest.approx([0.0])
    assert debiasing.bias == pytest.approx([0.3])


def test_the_gain_is_bounded() -> None:
    for direction, bound in ((1.0, 1.0), (-1.0, -2.0)):
        debiasing = LabelDebiasing(gain_step_size=100.0, start=0.0)
        signs = np.array([1.0, -1.0])
        debiasing.update(
            direction * signs, np.ones((2, 1)), signs[:, np.newaxis], np.ones(1), progress_remaining=0.0, success_rate=None
        )
        assert debiasing.gain == pytest.approx([bound])


def test_labels_are_moved_and_held_near_the_box() -> None:
    debiasing = LabelDebiasing(limit=0.5)
    debiasing.bias, debiasing.gain = np.array([0.75, -3.0]), np.array([0.0, 0.5])
    labels = np.array([[0.0, 2.0], [1.0, -2.0], [np.nan, np.nan]], dtype=np.float32)

    # half of half the width: 0.5 beyond [-1, 1], 2 beyond [-2, 6]
    corrected = debiasing.correct(labels, BOX)
    np.testing.assert_array_equal(corrected, np.array([[0.75, 0.0], [1.5, -4.0], [np.nan, np.nan]], dtype=np.float32))
    assert corrected.dtype == np.float32


def test_an_unbounded_box_holds_nothing() -> None:
    debiasing = LabelDebiasing()
    debiasing.bias, debiasing.gain = np.array([100.0]), np.zeros(1)
    corrected = debiasing.correct(np.zeros((1, 1), np.float32), spaces.Box(-np.inf, np.inf, (1,)))
    assert corrected.tolist() == [[100.0]]


@given(st.floats(-3, 3), st.floats(0, 1))
def test_without_an_offset_labels_inside_stay_as_they_are(label: float, limit: float) -> None:
    debiasing = LabelDebiasing(limit=limit)
    debiasing.bias, debiasing.gain = np.zeros((2, 1))
    inside = np.float32(np.clip(label, -1, 1))
    assert debiasing.correct(np.array([[inside]]), spaces.Box(-1, 1, (1,))) == inside


def test_it_is_saved_with_its_correction_and_forgets_it_when_told() -> None:
    debiasing = LabelDebiasing(step_size=0.1, start=0.0)
    correction = update(debiasing)
    restored = pickle.loads(pickle.dumps(debiasing))
    np.testing.assert_array_equal((restored.bias, restored.gain), correction)
    restored.restart()
    np.testing.assert_array_equal(update(restored), correction)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size must be finite and > 0, not 0.0"),
        ({"step_size": math.inf}, "step_size must be finite"),
        ({"gain_step_size": -1.0}, "gain_step_size must be finite and >= 0, not -1.0"),
        ({"start": 1.0}, r"a part of the training, in \[0, 1\), not 1.0"),
        ({"limit": -0.1}, "limit must be finite and >= 0, not -0.1"),
    ],
)
def test_settings_out_of_range(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LabelDebiasing(**settings)


@pytest.mark.parametrize(("space", "squash"), [(spaces.Discrete(3), False), (BOX, True)])
def test_policies_without_a_gaussian_are_refused(space: spaces.Space, squash: bool) -> None:
    with pytest.raises(ValueError, match=r"moves the mean of a Gaussian policy.*Leave it out"):
        LabelDebiasing().check(space, squash)

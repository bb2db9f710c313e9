"""The offset that is learned from the reward: its gradient by hand, when it moves, what becomes of labels."""

import math
import pickle

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.label_debiasing import LabelDebiasing

BOX = spaces.Box(np.array([-1.0, -2.0], np.float32), np.array([1.0, 6.0], np.float32))


def update(debiasing: LabelDebiasing, progress_remaining: float = 0.0, success_rate: float | None = None) -> np.ndarray:
    return debiasing.update(
        np.array([1.0, 2.0, 6.0]),
        np.array([[1.0, 0.0], [-1.0, 2.0], [0.5, 1.0]]),
        np.array([[0.5, 2.0]] * 3),
        progress_remaining=progress_remaining,
        success_rate=success_rate,
    )


def test_gradient_by_hand() -> None:
    # the advantages' mean is 3, their standard deviation sqrt((4 + 1 + 9) / 3)
    a, b, c = (advantage / math.sqrt(14 / 3) for advantage in (-2, -1, 3))
    first = (a * 1.0 - b * 1.0 + c * 0.5) / 0.25 / 3
    second = (b * 2.0 + c * 1.0) / 4.0 / 3
    debiasing = LabelDebiasing(step_size=0.1, start=0.0)

    np.testing.assert_allclose(update(debiasing), [0.1 * first, 0.1 * second], rtol=1e-6)
    np.testing.assert_allclose(update(debiasing, success_rate=0.75), [0.125 * first, 0.125 * second], rtol=1e-6)


@pytest.mark.parametrize(("progress_remaining", "moves"), [(1.0, False), (0.76, False), (0.75, True), (0.0, True)])
def test_it_starts_after_a_part_of_the_training(progress_remaining: float, moves: bool) -> None:
    assert update(LabelDebiasing(start=0.25), progress_remaining).any() == moves


@pytest.mark.parametrize(("success_rate", "factor"), [(None, 1.0), (math.nan, 1.0), (0.0, 1.0), (0.5, 0.5), (1.0, 0.0)])
def test_success_holds_it(success_rate: float | None, factor: float) -> None:
    expected = factor * update(LabelDebiasing())
    np.testing.assert_allclose(update(LabelDebiasing(), success_rate=success_rate), expected)


def test_it_climbs_to_the_offset_that_pays_most() -> None:
    # A student that does what it is told, with noise; its reward falls with the distance from the best action
    generator = np.random.default_rng(0)
    teacher, best = np.array([0.5, -0.2]), np.array([0.0, 0.3])
    debiasing = LabelDebiasing(step_size=0.01, start=0.0)
    mean = teacher
    for _ in range(400):
        deviations = 0.2 * generator.standard_normal((256, 2))
        rewards = -((mean + deviations - best) ** 2).sum(axis=1)
        bias = debiasing.update(rewards, deviations, np.full((256, 2), 0.2), progress_remaining=0.0, success_rate=None)
        mean = teacher + bias
    np.testing.assert_allclose(debiasing.bias, best - teacher, atol=0.05)


def test_labels_are_moved_and_held_near_the_box() -> None:
    debiasing = LabelDebiasing(limit=0.5)
    debiasing.bias = np.array([0.75, -3.0])
    labels = np.array([[0.0, 3.0], [1.0, -2.0], [np.nan, np.nan]], dtype=np.float32)

    # half of half the width: 0.5 beyond [-1, 1], 2 beyond [-2, 6]
    corrected = debiasing.correct(labels, BOX)
    np.testing.assert_array_equal(corrected, np.array([[0.75, 0.0], [1.5, -4.0], [np.nan, np.nan]], dtype=np.float32))
    assert corrected.dtype == np.float32


def test_an_unbounded_box_holds_nothing() -> None:
    debiasing = LabelDebiasing()
    debiasing.bias = np.array([100.0])
    corrected = debiasing.correct(np.zeros((1, 1), np.float32), spaces.Box(-np.inf, np.inf, (1,)))
    assert corrected.tolist() == [[100.0]]


@given(st.floats(-3, 3), st.floats(0, 1))
def test_without_an_offset_labels_inside_stay_as_they_are(label: float, limit: float) -> None:
    debiasing = LabelDebiasing(limit=limit)
    debiasing.bias = np.zeros(1)
    inside = np.float32(np.clip(label, -1, 1))
    assert debiasing.correct(np.array([[inside]]), spaces.Box(-1, 1, (1,))) == inside


def test_it_is_saved_with_its_offset_and_forgets_it_when_told() -> None:
    debiasing = LabelDebiasing(step_size=0.1, start=0.0)
    bias = update(debiasing)
    restored = pickle.loads(pickle.dumps(debiasing))
    np.testing.assert_array_equal(restored.bias, bias)
    restored.restart()
    np.testing.assert_array_equal(update(restored), bias)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0.0}, "step_size must be finite and > 0, not 0.0"),
        ({"step_size": math.inf}, "step_size must be finite"),
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

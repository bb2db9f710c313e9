"""Statistics over tasks and seeds: by hand, against what rliable 1.2.0 gave for the same scores, and properties."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.evaluation.aggregates import (
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)

scores_of_tasks = st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=6), min_size=1, max_size=4)


def test_interquartile_mean_by_hand() -> None:
    # eight runs: two are left out at either end, and 3, 4, 5, 6 are left
    assert interquartile_mean([[1, 8, 3, 6], [5, 4, 7, 2]]) == 4.5
    # an outlier does not move it, however far out
    assert interquartile_mean([[1, 800, 3, 6], [5, 4, 7, -200]]) == 4.5
    # of five runs one is left out at either end, of three none
    assert interquartile_mean([[0, 0.3, 0.6, 0.9, 1]]) == pytest.approx(0.6)
    assert interquartile_mean([[0.1, 0.2, 0.9]]) == pytest.approx(0.4)


def test_bootstrap_of_two_runs_by_hand() -> None:
    # two runs, 0 and 1, resampled: both 0 or both 1 with probability 1/4 each, their mean 1/2 otherwise
    wide = stratified_bootstrap([[0.0, 1.0]], confidence=0.9)
    assert (wide.value, wide.low, wide.high) == (0.5, 0.0, 1.0)
    narrow = stratified_bootstrap([[0.0, 1.0]], confidence=0.4)
    assert (narrow.value, narrow.low, narrow.high) == (0.5, 0.5, 0.5)


def test_bootstrap_stays_within_its_task() -> None:
    # runs of the same task are equal, those of different tasks are not: resampling within tasks changes nothing
    estimate = stratified_bootstrap([[0.25] * 3, [0.75] * 3])
    assert (estimate.value, estimate.low, estimate.high) == (0.5, 0.5, 0.5)


def test_bootstrap_has_the_quantiles_of_all_resamples() -> None:
    task = np.array([0.1, 0.4, 0.5, 0.9])
    everything = [np.mean(np.sort(task[list(indices)])[1:3]) for indices in product(range(4), repeat=4)]
    estimate = stratified_bootstrap([task], resamples=40_000)
    expected = np.quantile(everything, [0.025, 0.975])
    np.testing.assert_allclose([estimate.low, estimate.high], expected, atol=0.01)


def test_performance_profile_by_hand() -> None:
    # above 0.5 are 1 of 2 runs of the first task and 3 of 4 of the second; 0.5 itself is not above 0.5
    profile = performance_profile([[0.5, 0.8], [0.6, 0.7, 0.8, 0.0]], [-0.1, 0.0, 0.5, 0.8, 1.0])
    np.testing.assert_allclose(profile, [1, (1 + 0.75) / 2, (0.5 + 0.75) / 2, 0, 0])


def test_probability_of_improvement_by_hand() -> None:
    # first task: of six pairs four better, one a tie; second task: always worse
    assert probability_of_improvement([[3, 2], [0]], [[1, 2, 2.5], [1, 1]]) == pytest.approx((4.5 / 6 + 0) / 2)
    assert probability_of_improvement([[1, 1]], [[1, 1]]) == 0.5


def test_as_rliable_has_it() -> None:
    # ten runs of each of four tasks. rliable 1.2.0: IQM of the aggregates and their intervals from 20,000 resamples, the
    # probability of improvement from 5,000
    ours = [
        [0.75, 0.49, 0.58, 0.32, 0.95, 0.97, 0.92, 0.41, 0.47, 0.32],
        [0.18, 0.6, 0.53, 0.92, 0.5, 0.77, 0.86, 0.95, 0.75, 0.49],
        [0.75, 0.21, 1.0, 0.73, 0.85, 0.63, 0.81, 0.66, 0.73, 0.8],
        [0.76, 0.63, 0.9, 0.94, 0.31, 0.48, 0.38, 0.58, 0.94, 0.19],
    ]
    theirs = [
        [0.87, 0.64, 0.46, 0.78, 0.21, 0.97, 0.52, 0.08, 0.1, 0.22],
        [0.26, 0.55, 0.89, 0.38, 0.31, 0.14, 0.57, 0.3, 0.5, 0.31],
        [0.74, 0.46, 0.22, 0.45, 0.4, 0.5, 0.24, 0.35, 0.84, 0.54],
        [0.26, 0.8, 0.42, 0.37, 0.5, 0.31, 0.17, 0.15, 0.69, 0.23],
    ]
    for scores, value, low, high in ((ours, 0.6695, 0.579, 0.765), (theirs, 0.4075, 0.3315, 0.5)):
        estimate = stratified_bootstrap(scores, resamples=4_000)
        assert estimate.value == pytest.approx(value)
        np.testing.assert_allclose([estimate.low, estimate.high], [low, high], atol=0.01)
    assert probability_of_improvement(ours, theirs) == pytest.approx(0.73125)
    improvement = stratified_bootstrap(
        [*ours, *theirs], lambda tasks: probability_of_improvement(tasks[:4], tasks[4:]), resamples=4_000
    )
    np.testing.assert_allclose([improvement.low, improvement.high], [0.61875, 0.84125], atol=0.01)
    np.testing.assert_allclose(performance_profile(ours, [0, 0.25, 0.5, 0.75, 0.9]), [1, 0.925, 0.675, 0.375, 0.2])


@given(scores_of_tasks, st.integers(0, 100))
def test_improvement_on_each_other_adds_up_to_one(scores: Any, seed: int) -> None:
    shuffled = [np.random.default_rng(seed).permutation(len(task)) / 7 for task in scores]
    both = probability_of_improvement(scores, shuffled) + probability_of_improvement(shuffled, scores)
    assert both == pytest.approx(1)


@given(scores_of_tasks)
def test_interval_lies_within_the_scores_and_the_profile_falls(scores: Any) -> None:
    everything = np.concatenate(scores)
    estimate = stratified_bootstrap(scores, resamples=50)
    assert everything.min() - 1e-9 <= estimate.low <= estimate.high <= everything.max() + 1e-9
    assert (np.diff(performance_profile(scores, np.linspace(0, 1, 11))) <= 0).all()


@pytest.mark.parametrize("scores", [[], [[]], [[1.0], []]])
def test_no_scores_are_refused(scores: Any) -> None:
    for statistic in (interquartile_mean, stratified_bootstrap, lambda given: performance_profile(given, [0.5])):
        with pytest.raises(ValueError, match="at least one run"):
            statistic(scores)


def test_other_refusals() -> None:
    with pytest.raises(ValueError, match="2 tasks and 1 tasks"):
        probability_of_improvement([[1.0], [1.0]], [[1.0]])
    with pytest.raises(ValueError, match="confidence"):
        stratified_bootstrap([[1.0]], confidence=1.0)

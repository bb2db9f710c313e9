"""
Statistics over several tasks and seeds, as R. Agarwal and others recommend them in *Deep Reinforcement Learning at the Edge of
the Statistical Precipice* (https://arxiv.org/abs/2108.13264): few runs, no best-of, intervals with everything.

Scores are one array for each task, which holds one number for each run (seed); tasks may have different numbers of runs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

#: For each task the scores of its runs, shape (n_runs,).
Scores: TypeAlias = Sequence[np.ndarray | Sequence[float]]


@dataclass(frozen=True)
class Estimate:
    """
    A statistic with its interval.

    :param value: The statistic of the scores themselves.
    :param low: Lower end of the interval.
    :param high: Upper end of the interval.
    """

    value: float
    low: float
    high: float


def interquartile_mean(scores: Scores) -> float:
    """
    The mean of the middle half of all runs of all tasks: a quarter of them, rounded down, is left out at either end.

    :param scores: The scores of each task.
    :raises ValueError: if there are none.
    """
    ordered = np.sort(_pooled(scores))
    cut = len(ordered) // 4
    return float(ordered[cut : len(ordered) - cut].mean())


def stratified_bootstrap(
    scores: Scores,
    statistic: Callable[[Scores], float] = interquartile_mean,
    *,
    confidence: float = 0.95,
    resamples: int = 2_000,
    seed: int = 0,
) -> Estimate:
    """
    A statistic's percentile interval, from resampling the runs with replacement within each task.

    :param scores: The scores of each task.
    :param statistic: A function of the scores of all tasks.
    :param confidence: The share of the resamples within the interval, inside (0, 1).
    :param resamples: How many.
    :param seed: Seed of the resampling.
    :raises ValueError: if there are no scores, or the confidence is out of its range.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence level lies between 0 and 1, {confidence} does not.")
    tasks = [np.asarray(task, dtype=np.float64) for task in scores]
    value = statistic(tasks)
    generator = np.random.default_rng(seed)
    resampled = [statistic([task[generator.integers(len(task), size=len(task))] for task in tasks]) for _ in range(resamples)]
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))


def performance_profile(scores: Scores, thresholds: Sequence[float] | np.ndarray) -> np.ndarray:
    """
    For each threshold, the share of the runs that do better, each task with the same weight.

    :param scores: The scores of each task.
    :param thresholds: The thresholds, shape (n,).
    :return: Shape (n,), never rising if the thresholds rise.
    :raises ValueError: if there are no scores.
    """
    _pooled(scores)
    limits = np.asarray(thresholds, dtype=np.float64)
    shares = [(np.asarray(task)[:, np.newaxis] > limits).mean(axis=0) for task in scores]
    return np.asarray(np.mean(shares, axis=0))


def probability_of_improvement(scores: Scores, other: Scores) -> float:
    """
    How likely a run is to do better than a run of another method on the same task, averaged over the tasks; a tie counts
    half (the Mann-Whitney statistic divided by the number of pairs).

    :param scores: The scores of each task.
    :param other: The other method's, task by task.
    :raises ValueError: if there are no scores, or the two are not of the same tasks.
    """
    _pooled(scores)
    _pooled(other)
    if len(scores) != len(other):
        raise ValueError(f"The scores are of {len(scores)} tasks and {len(other)} tasks: pairs need the same ones.")
    tasks = [np.subtract.outer(np.asarray(ours), np.asarray(theirs)) for ours, theirs in zip(scores, other, strict=True)]
    return float(np.mean([(difference > 0).mean() + 0.5 * (difference == 0).mean() for difference in tasks]))


def _pooled(scores: Scores) -> np.ndarray:
    if len(scores) == 0 or any(len(task) == 0 for task in scores):
        raise ValueError(f"Each task needs at least one run, and these have {[len(task) for task in scores]}.")
    return np.concatenate([np.asarray(task, dtype=np.float64) for task in scores])

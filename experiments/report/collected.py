"""The results of a suite, in the order of its rows and methods, and the numbers that the report takes from them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments.methods import METHODS, TEACHER
from experiments.results import find
from experiments.runs import ROWS, SEEDS, Row, Run

#: A number that a run is judged by.
Score = Callable[[dict[str, Any]], float]


def best_success(result: dict[str, Any]) -> float:
    """Successes per held-out episode of the policy that did best in its training's own evaluations."""
    return float(result["best"]["successes"] / result["best"]["episodes"])


def last_success(result: dict[str, Any]) -> float:
    """Successes per held-out episode of the policy with which the training ended."""
    return float(result["last"]["successes"] / result["last"]["episodes"])


def exploring_success(result: dict[str, Any]) -> float:
    """Success of the exploring student over its last 100 episodes, at the end of the training."""
    return float(result["curve"][-1][1]) if result["curve"] else 0.0


def steps_to_half(result: dict[str, Any]) -> float:
    """Environment steps until half of the exploring student's last 100 episodes succeeded; infinite for never."""
    return next((float(steps) for steps, rate in result["curve"] if rate >= 0.5), math.inf)


@dataclass(frozen=True)
class Collected:
    """
    :param suite: The suite.
    :param results: What is there, for each row and method: one result for each finished seed.
    """

    suite: str
    results: dict[Row, dict[str, list[dict[str, Any]]]]

    @property
    def rows(self) -> list[Row]:
        """The rows that have any result."""
        return [row for row, by_method in self.results.items() if any(by_method[method] for method in row.methods)]

    @property
    def n_runs(self) -> int:
        """How many runs have a result; PPO's count once, whatever number of rows they serve."""
        found = (result for by_method in self.results.values() for results in by_method.values() for result in results)
        return len({Run(**result["run"]) for result in found})

    def scores(self, row: Row, method: str, score: Score) -> np.ndarray:
        """:return: The score of each finished seed, shape (n_seeds,)."""
        return np.array([score(result) for result in self.results[row][method]])

    def teacher_success(self, row: Row) -> float | None:
        """:return: What the row's teacher achieves by itself, if that is known."""
        results = self.results[row][TEACHER]
        return last_success(results[0]) if results else None

    def comparisons(self) -> list[tuple[tuple[str, ...], list[Row]]]:
        """
        Which methods can be compared on which rows: each set of methods that a row declares, with the rows that have results
        of all of them.

        :return: Such pairs, the largest set of methods first.
        """
        sets = sorted({row.methods for row in self.results}, key=len, reverse=True)
        pairs = ((methods, [row for row in self.results if self._has_all(row, methods)]) for methods in sets)
        return [(methods, rows) for methods, rows in pairs if rows]

    def _has_all(self, row: Row, methods: Sequence[str]) -> bool:
        return set(methods) <= set(row.methods) and all(self.results[row][method] for method in methods)


def collect(suite: str, folder: Path) -> Collected:
    """
    :param suite: The suite.
    :param folder: Where the results are.
    :return: All that is there.
    """
    results = {}
    for row in ROWS[suite]:
        by_method = {}
        for method in (TEACHER, *row.methods):
            seeds = (0,) if method == TEACHER else SEEDS[suite]
            found = (find(row.run(method, seed), folder) for seed in seeds)
            by_method[method] = [result for result in found if result is not None]
        results[row] = by_method
    return Collected(suite, results)


def title(row: Row) -> str:
    """:return: What distinguishes a row, in a few words."""
    labels = f", every {row.label_every}th label" if row.label_every > 1 else ""
    return f"{row.task.removesuffix('-v0')}, {row.error}, {row.reward}, gamma {row.gamma}{labels}"


def label(method: str) -> str:
    """:return: What the report calls a method."""
    return METHODS[method].label

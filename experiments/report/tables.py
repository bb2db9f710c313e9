"""The report's tables, in Markdown."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from experiments.report.collected import (
    Collected,
    Score,
    best_success,
    exploring_success,
    label,
    last_success,
    steps_to_half,
    title,
)
from experiments.runs import Row
from sb3_rpd.evaluation.aggregates import (
    Estimate,
    Scores,
    interquartile_mean,
    probability_of_improvement,
    stratified_bootstrap,
)

#: Methods that the others are to beat, and what they are called within a sentence.
_BASELINES = {"ppo": "PPO", "rpd": "the paper's RPD"}


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """:return: A table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def of_all_rows(collected: Collected, methods: Sequence[str]) -> str:
    """:return: Interquartile means of the best policies' success, for each row and method, with the teacher beside them."""
    rows = []
    for row in collected.rows:
        teacher = collected.teacher_success(row)
        cells = [_of_seeds(collected.scores(row, method, best_success)) if method in row.methods else "" for method in methods]
        rows.append([title(row), "-" if teacher is None else f"{teacher:.0%}", *cells])
    return markdown(["", "teacher alone", *map(label, methods)], rows)


def of_all_seeds(collected: Collected) -> str:
    """:return: For each row and method: each seed's best policy, the last ones, and how the student did while it explored."""
    rows = []
    for row in collected.rows:
        for method in row.methods:
            best = collected.scores(row, method, best_success)
            if len(best):
                last = collected.scores(row, method, last_success)
                exploring = np.median(collected.scores(row, method, exploring_success))
                seeds = " ".join(f"{score:.0%}" for score in best)
                cells = [f"{np.median(best):.0%}", seeds, f"{np.median(last):.0%}", f"{exploring:.0%}"]
                rows.append([title(row), label(method), *cells])
    head = ["", "method", "best policy, median", "of each seed", "last policy, median", "exploring at the end, median"]
    return markdown(head, rows)


def of_methods(collected: Collected, methods: Sequence[str], rows: Sequence[Row]) -> str:
    """
    :param methods: The methods to compare.
    :param rows: Rows that have results of all of them.
    :return: One line for each method, over all of the rows.
    """

    def scores(method: str, score: Score) -> list[np.ndarray]:
        return [collected.scores(row, method, score) for row in rows]

    baselines = [method for method in _BASELINES if method in methods]
    lines = []
    for method in methods:
        best = scores(method, best_success)
        cells = [_estimated(best), _estimated(scores(method, last_success))]
        for other in baselines:
            cells.append("" if method == other else _improvement(best, scores(other, best_success)))
        queries = np.mean([np.mean(collected.scores(row, method, lambda result: result["queries"])) for row in rows])
        lines.append([label(method), *cells, f"{queries:,.0f}"])
    better = [f"better than {_BASELINES[method]}" for method in baselines]
    return markdown(["", "best policy", "last policy", *better, "states the teacher is asked about"], lines)


def of_steps_to_half(collected: Collected, methods: Sequence[str]) -> str:
    """:return: For each row and method the median of the steps to a success of 50 % while exploring, and PPO's over them."""
    rows = []
    for row in collected.rows:
        compared = [method for method in methods if method in row.methods and collected.results[row][method]]
        medians = {method: float(np.median(collected.scores(row, method, steps_to_half))) for method in compared}
        of_ppo = medians.get("ppo")
        cells = [
            _steps(medians[method], None if method == "ppo" else of_ppo) if method in medians else "" for method in methods
        ]
        rows.append([title(row), *cells])
    return markdown(["", *map(label, methods)], rows)


def interval(estimate: Estimate) -> str:
    """:return: A rate with its interval, in per cent."""
    return f"{estimate.value:.0%} ({100 * estimate.low:.0f} to {100 * estimate.high:.0f})"


def _of_seeds(scores: np.ndarray) -> str:
    return _estimated([scores]) if len(scores) else "-"


def _estimated(scores: Scores, statistic: Callable[[Scores], float] = interquartile_mean) -> str:
    """A statistic with its interval; one seed has none, since there is nothing to resample."""
    if max(map(len, scores)) == 1:
        return f"{statistic(scores):.0%} (one seed)"
    return interval(stratified_bootstrap(scores, statistic))


def _improvement(ours: list[np.ndarray], theirs: list[np.ndarray]) -> str:
    # Both are resampled: each task holds the two methods' runs behind one another, to be taken apart again
    both = [*ours, *theirs]
    return _estimated(both, lambda tasks: probability_of_improvement(tasks[: len(ours)], tasks[len(ours) :]))


def _steps(median: float, of_ppo: float | None) -> str:
    if math.isinf(median):
        return "never"
    steps = f"{median:,.0f}"
    if of_ppo is None:
        return steps
    return f"{steps} (PPO never)" if math.isinf(of_ppo) else f"{steps} ({of_ppo / median:.1f})"

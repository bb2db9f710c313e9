"""The report's pictures, as small PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.report.collected import Collected, best_success, label, title
from experiments.runs import Row
from sb3_rpd.evaluation.aggregates import performance_profile, stratified_bootstrap

COLORS = ("tab:gray", "tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "black")
COLUMNS = 3


def learning_curves(collected: Collected, methods: Sequence[str], path: Path) -> None:
    """
    One panel for each row: mean over the seeds of the exploring student's success, with a band of one standard error.

    :param collected: The results.
    :param methods: Which methods, in the order of their colors.
    :param path: The file to write.
    """
    rows = collected.rows
    lines = -(-len(rows) // COLUMNS)
    figure, panels = _figure(lines, COLUMNS, (4.2 * COLUMNS, 2.3 * lines + 0.6))
    for panel, row in zip(panels, rows, strict=False):
        for method, color in zip(methods, COLORS, strict=False):
            if method in row.methods and collected.results[row][method]:
                _curve(panel, collected.results[row][method], row, label(method), color)
        teacher = collected.teacher_success(row)
        if teacher is not None:
            panel.axhline(teacher, color="black", linewidth=0.8, linestyle=":")
        panel.set_title(title(row), fontsize=8)
        panel.set_ylim(-0.02, 1.02)
        panel.tick_params(labelsize=7)
    for panel in panels[len(rows) :]:
        panel.set_axis_off()
    _save(figure, panels[0], "environment steps", "success while exploring", path)


def profiles(collected: Collected, methods: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    """
    Performance profiles: the share of runs whose best policy succeeds more often than the abscissa says.

    :param collected: The results.
    :param methods: Which methods, in the order of their colors.
    :param rows: Rows that have results of all of them.
    :param path: The file to write.
    """
    figure, (panel,) = _figure(1, 1, (6.0, 3.6))
    thresholds = np.linspace(0, 1, 101)
    for method, color in zip(methods, COLORS, strict=False):
        scores = [collected.scores(row, method, best_success) for row in rows]
        panel.plot(thresholds, performance_profile(scores, thresholds), label=label(method), color=color)
    panel.set_ylim(-0.02, 1.02)
    _save(figure, panel, "success rate of the best policy", "share of runs above it", path)


def intervals(collected: Collected, methods: Sequence[str], rows: Sequence[Row], path: Path) -> None:
    """
    Interquartile means of the best policies' success, with 95 % intervals.

    :param collected: The results.
    :param methods: Which methods, in the order of their colors.
    :param rows: Rows that have results of all of them.
    :param path: The file to write.
    """
    figure, (panel,) = _figure(1, 1, (6.0, 0.4 * len(methods) + 1.0))
    for place, (method, color) in enumerate(zip(methods, COLORS, strict=False)):
        estimate = stratified_bootstrap([collected.scores(row, method, best_success) for row in rows])
        panel.barh(place, estimate.high - estimate.low, left=estimate.low, height=0.6, color=color, alpha=0.5)
        panel.plot([estimate.value] * 2, [place - 0.3, place + 0.3], color="black")
    panel.set_yticks(range(len(methods)), [label(method) for method in methods])
    panel.invert_yaxis()
    panel.set_xlim(-0.02, 1.02)
    panel.set_xlabel("success rate of the best policy: interquartile mean, 95 % interval")
    _write(figure, path)


def _curve(panel: Any, results: list[dict[str, Any]], row: Row, name: str, color: str) -> None:
    steps = np.linspace(0, row.steps, 81)[1:]
    points = [np.array(result["curve"]) for result in results if result["curve"]]
    curves = np.array([np.interp(steps, curve[:, 0], curve[:, 1]) for curve in points])
    mean = curves.mean(axis=0)
    error = curves.std(axis=0) / np.sqrt(len(curves))
    panel.plot(steps, mean, color=color, label=name, linewidth=1.2)
    panel.fill_between(steps, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)


def _figure(lines: int, columns: int, size: tuple[float, float]) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(lines, columns, figsize=size, layout="constrained", squeeze=False)
    return figure, list(panels.flat)


def _save(figure: Any, panel: Any, across: str, up: str, path: Path) -> None:
    figure.supxlabel(across, fontsize=9)
    figure.supylabel(up, fontsize=9)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, fontsize=8)
    _write(figure, path)


def _write(figure: Any, path: Path) -> None:
    import matplotlib.pyplot as plt

    # Without the version of matplotlib in it, the file changes only if the picture does
    figure.savefig(path, dpi=100, metadata={"Software": None})
    plt.close(figure)

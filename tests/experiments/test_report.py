"""The report: its tables by hand from made-up results, its pages and pictures from files on disk."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import results
from experiments.report import __main__ as report
from experiments.report.collected import best_success, collect, exploring_success, last_success, steps_to_half, title
from experiments.report.tables import of_all_rows, of_all_seeds, of_methods, of_steps_to_half
from experiments.runs import ROWS, Row

SPARSE, DENSE = (row for row in ROWS["fast"] if row.error == "offset")


def result(best: int, last: int = 0, half_at: int | None = None, queries: int = 0) -> dict[str, Any]:
    """A run with so many successes of 128, that passes 50 % at a number of steps."""
    curve = [(steps, 0.9 if half_at is not None and steps >= half_at else 0.25) for steps in range(20_000, 120_001, 20_000)]
    counts = {"episodes": 128, "mean_return": 0.0, "mean_length": 40.0}
    return {
        "reward_mode": "sparse",
        "curve": curve,
        "best": {**counts, "successes": best, "found_at": 20_000},
        "last": {**counts, "successes": last},
        "queries": queries,
    }


def put(folder: Path, row: Row, method: str, *found: dict[str, Any]) -> None:
    for seed, content in enumerate(found):
        results.write(row.run(method, seed), content, folder)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Results of two rows, three seeds each: two methods succeed in 0, 32 and 64 of 128, and in 64, 96 and 128."""
    for row in (SPARSE, DENSE):
        put(tmp_path, row, "teacher", {"last": {"episodes": 128, "successes": 32}})
        put(tmp_path, row, "ppo", result(0), result(32, half_at=100_000), result(64, half_at=80_000))
        for method in row.methods[1:]:
            good = (result(64, 32, 20_000, 1000), result(96, 64, 40_000, 1000), result(128, 64, 40_000, 1000))
            put(tmp_path, row, method, *good)
    return tmp_path


def row_of(table: str, start: str) -> list[str]:
    line = next(line for line in table.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_scores() -> None:
    run = result(96, last=32, half_at=60_000)
    assert (best_success(run), last_success(run), exploring_success(run)) == (0.75, 0.25, 0.9)
    assert steps_to_half(run) == 60_000
    assert steps_to_half(result(128)) == np.inf


def test_table_of_rows(folder: Path) -> None:
    table = of_all_rows(collect("fast", folder), ("ppo", "rpd"))
    # three seeds: no run is left out of the mean; all resamples lie between the worst and the best
    assert row_of(table, title(SPARSE)) == ["25%", "25% (0 to 50)", "75% (50 to 100)"]


def test_one_seed_has_no_interval(tmp_path: Path) -> None:
    put(tmp_path, SPARSE, "ppo", result(32))
    table = of_all_rows(collect("fast", tmp_path), ("ppo",))
    assert row_of(table, title(SPARSE)) == ["-", "25% (one seed)"]


def test_table_of_methods(folder: Path) -> None:
    collected = collect("fast", folder)
    [(methods, rows)] = collected.comparisons()
    assert rows == [row for row in ROWS["fast"] if row in (SPARSE, DENSE)]
    table = of_methods(collected, methods, rows)
    # one of 6 runs is left out at either end: (0.25 + 0.25 + 0 + 0.5) / 4; of a row's nine pairs 8 are better and one is a tie
    ppo, rpd = row_of(table, "PPO"), row_of(table, "RPD (paper: MSE)")
    assert ppo[0].startswith("25% (")
    assert (ppo[2], ppo[4]) == ("", "0")
    assert ppo[3].startswith("6% (")
    assert rpd[0].startswith("75% (")
    assert rpd[1].startswith("44% (")
    assert rpd[2].startswith("94% (")
    assert (rpd[3], rpd[4]) == ("", "1,000")


def test_table_of_steps(folder: Path) -> None:
    table = of_steps_to_half(collect("fast", folder), ("ppo", "rpd"))
    # medians of (never, 100,000, 80,000) and of (20,000, 40,000, 40,000)
    assert row_of(table, title(DENSE)) == ["100,000", "40,000 (2.5)"]


def test_table_of_seeds(folder: Path) -> None:
    table = of_all_seeds(collect("fast", folder))
    assert row_of(table, f"{title(DENSE)} | RPD (paper: MSE)")[1:] == ["75%", "50% 75% 100%", "50%", "90%"]


def test_what_never_succeeds_is_said(tmp_path: Path) -> None:
    put(tmp_path, SPARSE, "ppo", result(0))
    put(tmp_path, SPARSE, "rpd", result(128, half_at=20_000))
    table = of_steps_to_half(collect("fast", tmp_path), ("ppo", "rpd", "dagger"))
    assert row_of(table, title(SPARSE)) == ["never", "20,000 (PPO never)", ""]


def test_what_was_not_run_is_not_said_to_fail(tmp_path: Path) -> None:
    put(tmp_path, SPARSE, "rpd", result(128, half_at=20_000))
    assert row_of(of_steps_to_half(collect("fast", tmp_path), ("ppo", "rpd")), title(SPARSE)) == ["", "20,000"]


def test_results_of_other_settings_are_left_out(folder: Path) -> None:
    path = results.path_of(SPARSE.run("rpd", 1), folder)
    path.write_text(path.read_text().replace('"n_epochs": 4', '"n_epochs": 5'))
    assert len(collect("fast", folder).results[SPARSE]["rpd"]) == 2


def test_page_and_pictures(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "pages"
    report.main(["--results", str(folder), "--output", str(output)])
    page = (output / "fast.md").read_text()
    # PPO's runs serve every row, two methods and the teachers are there besides: nothing is counted twice
    n_methods = len(SPARSE.methods)
    assert f"from {2 * (3 * n_methods) + 1} of" in page
    pictures = {path.name for path in output.glob("*.png")}
    assert pictures == {f"fast-{n_methods}-methods-intervals.png", f"fast-{n_methods}-methods-profiles.png", "fast-curves.png"}
    assert all(name in page for name in pictures)
    assert all((output / name).stat().st_size < 300_000 for name in pictures)
    assert "maniskill2: no results" in capsys.readouterr().err
    # the same results give the same files
    first = {path.name: path.read_bytes() for path in output.iterdir()}
    report.main(["--results", str(folder), "--output", str(output)])
    assert first == {path.name: path.read_bytes() for path in output.iterdir()}


def test_title_names_what_differs() -> None:
    assert title(SPARSE) == "reach, offset, sparse, gamma 0.99"
    assert title(replace(SPARSE, task="LiftCube-v0", label_every=5)) == "LiftCube, offset, sparse, gamma 0.99, every 5th label"

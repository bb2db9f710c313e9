"""The benchmark of sparse labels: it runs, counts what was asked, does nothing twice, and reads its figures off correctly."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks/sparse_labels.py"


def run(folder: Path, *variants: str) -> str:
    """Run it with ``--quick`` in a folder and return what it printed."""
    command = [sys.executable, str(BENCHMARK), "--quick", "--variants", *variants]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.slow
@pytest.mark.maniskill2
def test_it_counts_what_was_asked_and_goes_on_where_it_was(tmp_path: Path) -> None:
    first = run(tmp_path, "every-5th")
    second = run(tmp_path, "teacher", "every-5th", "ppo")

    assert "every-5th, seed 0: starts" in first
    assert "every-5th, seed 0: is in runs/sparse_labels/results.jsonl" in second
    # 1,600 steps of 8 environments are a whole number of fives for each
    for variant, queries in (("teacher", "-"), ("every-5th", r"0\.200"), ("ppo", r"0\.000")):
        assert re.search(rf"^\| {variant} \| {queries} \| \d+% \|", second, flags=re.MULTILINE), second
    lines = [json.loads(line) for line in (tmp_path / "runs/sparse_labels/results.jsonl").read_text().splitlines()]
    assert [line["variant"] for line in lines] == ["every-5th", "teacher", "ppo"]
    assert lines[0]["settings"]["rpd"] == {"imitation_coef": 5.0, "label_every": 5, "fast": None}


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sparse_labels", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_steps_until_the_exploring_student_succeeds_this_often(benchmark: ModuleType) -> None:
    # No episode has ended in the first iteration
    rates = ["", "0.1", "0.5", "0.4", "0.81"]
    rows = [{"time/total_timesteps": str(800 * (i + 1)), "rollout/success_rate": rate} for i, rate in enumerate(rates)]
    assert [benchmark.first_steps_at(rate, rows) for rate in (0.1, 0.5, 0.8, 0.82)] == [1600, 2400, 4000, None]
    # A quarter of eight lines is two, of five one
    assert benchmark.exploring_success(rows[1:] * 2) == pytest.approx((0.4 + 0.81) / 2)
    assert benchmark.exploring_success(rows) == 0.81


def test_table_has_medians_and_ranges(benchmark: ModuleType) -> None:
    def run_of(successes: int, steps_to_50: int | None, steps_to_80: int | None, seconds: float) -> dict[str, Any]:
        steps = {"steps_to_50": steps_to_50, "steps_to_80": steps_to_80}
        return {"successes": successes, "queries_per_state": 0.2, "exploring_success": 0.75, "seconds": seconds, **steps}

    runs = [run_of(45, 24_000, None, 130.4), run_of(50, 21_600, 40_000, 120.0), run_of(30, 30_400, None, 99.6)]
    lines = benchmark.table({"teacher": [{"successes": 15}], "some": runs, "one": runs[:1]}, episodes=50).splitlines()
    assert lines[2:] == [
        "| teacher | - | 30% | 30% | - | - | - | - |",
        "| some | 0.200 (0.200 to 0.200) | 90% (60% to 100%) | 90%, 100%, 60% | 75% (75% to 75%) "
        "| 24,000 (21,600 to 30,400) | never (40,000 to never) | 120 (100 to 130) |",
        "| one | 0.200 | 90% | 90% | 75% | 24,000 | never | 130 |",
    ]


def test_result_counts_only_for_the_settings_it_was_made_with(benchmark: ModuleType, tmp_path: Path) -> None:
    options = benchmark.demo.parse_arguments(["--teacher", "noisy", "--seed", "1"])
    options.fast = None
    run = {"variant": "gate-0.5", "seed": 1, "settings": benchmark.settings_of("gate-0.5", options)}
    benchmark.Results(tmp_path / "results.jsonl").add(run, {"successes": 98})

    results = benchmark.Results(tmp_path / "results.jsonl")
    assert results.find(run) == {"successes": 98}
    assert results.find(run | {"seed": 2}) is None
    options.fast = False
    assert results.find(run | {"settings": benchmark.settings_of("gate-0.5", options)}) is None
    options.fast = None
    options.timesteps += 1
    assert results.find(run | {"settings": benchmark.settings_of("gate-0.5", options)}) is None

"""The benchmarks of labeling and training run, each as a program of its own, and their records have all rows."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def run(name: str, *arguments: str, folder: Path) -> Any:
    """Run one benchmark in an empty folder and return its record."""
    record = folder / "record.json"
    command = [sys.executable, "-W", "error::UserWarning:sb3_rpd", str(BENCHMARKS / name), *arguments, "--json", str(record)]
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert finished.returncode == 0, finished.stderr
    loaded = json.loads(record.read_text())
    # Figures are worth little without these
    assert {"date", "cpu", "cpus", "python", "torch", "stable_baselines3"} <= set(loaded)
    return loaded


@pytest.mark.slow
def test_training_speed(tmp_path: Path) -> None:
    record = run("training_speed.py", "--quick", folder=tmp_path)

    everybody = {"PPO", "RPD", "RPD, plain path"}
    rivals_of = dict.fromkeys(("categorical", "multicategorical", "bernoulli", "gsde", "squashed_gsde"), everybody)
    rivals_of |= {"mlp": everybody | {"obvious RPD"}, "cnn": everybody | {"obvious RPD", "RPD, bf16"}}
    assert set(record["results"]) == set(rivals_of)
    for student, rivals in rivals_of.items():
        for part in ("train", "iteration"):
            rows = record["results"][student][part]
            assert set(rows) == rivals
            for row in rows.values():
                assert set(row) == {"seconds", "speed_over_ppo", "rpd_speed_over_it", "wall_speed_over_ppo", "wall_over_cpu"}
                assert 0.0 < row["seconds"]["quartiles"][0] <= row["seconds"]["median"] <= row["seconds"]["quartiles"][1]
            assert rows["PPO"]["speed_over_ppo"]["quartiles"] == rows["RPD"]["rpd_speed_over_it"]["quartiles"] == [1.0, 1.0]


@pytest.mark.slow
def test_recurrent_speed(tmp_path: Path) -> None:
    record = run("recurrent_speed.py", "--quick", "--sizes", "4", "--rounds", "2", folder=tmp_path)

    rows = record["results"]["4"]
    assert list(rows) == ["RecurrentPPO", "RecurrentRPD", "RecurrentRPD, plain path"]
    assert rows["RecurrentPPO"]["speed_over_recurrent_ppo"] == {"median": 1.0, "quartiles": [1.0, 1.0]}
    assert all(row["speed_over_recurrent_ppo"]["median"] > 0.0 for row in rows.values())


@pytest.mark.slow
def test_rollout_memory(tmp_path: Path) -> None:
    record = run("rollout_memory.py", "--quick", folder=tmp_path)

    assert record["data_bytes"] == 32 * 16 * (3 * 128 * 128 + 4 * (7 + 6))
    for buffer in ("SB3", "RPD"):
        resident, traced = record["results"][buffer]["resident"], record["results"][buffer]["tracemalloc"]
        # A part of it may fit into what the process holds free already
        assert 0.5 <= resident[0] <= resident[1]
        assert 1.0 <= traced[0] <= traced[1]
    # It flattens a rollout into a copy
    assert record["results"]["SB3"]["tracemalloc"][0] == pytest.approx(2.0, abs=0.05)


@pytest.mark.slow
def test_label_overlap(tmp_path: Path) -> None:
    record = run("label_overlap.py", "--quick", "--rounds", "1", folder=tmp_path)

    ways = record["results"]["slow teacher"]["ways"]
    per_state = {name: way["queries_per_state"] for name, way in ways.items() if "queries_per_state" in way}
    assert per_state.pop("RPD, label_fraction=0.2") == pytest.approx(0.2, abs=0.15)
    # The steps 16 to 31, after those of the warm-up: environment 0 has its labels at 20, 25 and 30, the others before that
    assert per_state.pop("RPD, label_every=5") == 12 / 64
    assert set(per_state.values()) == {1.0}
    # However it overlaps: 64 states asked about, and calls for 16 of them, or for 4, at least
    assert ways["RPD"]["seconds"]["median"] >= 4 * 0.002 + 64 * 0.0001
    assert ways["at each step, synchronously"]["seconds"]["median"] >= 16 * 0.002 + 64 * 0.0001
    assert set(record["results"]["slow teacher and environments"]["ways"]) == {"RPD", "each minibatch"}


@pytest.mark.slow
@pytest.mark.maniskill2
def test_env_overhead(tmp_path: Path) -> None:
    record = run("env_overhead.py", "--tasks", "LiftCube-v0", "--rounds", "1", "--steps", "5", folder=tmp_path)

    (row,) = record["results"]
    assert row["task"] == "LiftCube-v0"
    assert row["wrapped"]["median"] > 0.0
    assert row["with_teacher_info"]["median"] > 0.0


@pytest.mark.slow
@pytest.mark.maniskill2
@pytest.mark.rendering
def test_teacher_frames(tmp_path: Path) -> None:
    record = run("teacher_frames.py", "--rounds", "1", "--steps", "10", "--size", "32", folder=tmp_path)

    ways = record["results"]["ways"]
    # The steps 10 to 19, after those of the warm-up: environment 0 has its labels at 10 and 15, environment 1 at 14 and 19
    labeled = {name: way["labeled"] for name, way in ways.items()}
    assert labeled.pop("20% at random") == pytest.approx(0.2, abs=0.2)
    assert labeled == {"all labels": 1.0, "every 5th": 0.2, "gate shut": 0.0}
    # Every 5th: of the steps 14, 15, 19 and 20, and of environment 1's step 10, since learn() looks at all states it finds
    rendered = {name: way["rendered"] for name, way in ways.items()}
    assert rendered.pop("20% at random") == pytest.approx(0.2, abs=0.3)
    assert rendered == {"all labels": 1.0, "every 5th": 5 / 20, "gate shut": 2 / 20}
    assert ways["all labels"]["speed_over_all_labels"] == {"median": 1.0, "quartiles": [1.0, 1.0]}


@pytest.mark.slow
@pytest.mark.maniskill2
@pytest.mark.rendering
def test_frame_cost(tmp_path: Path) -> None:
    record = run("frame_cost.py", "--rounds", "1", "--frames", "2", "--sizes", "32", folder=tmp_path)

    ways = record["results"]["32"]
    assert len(ways) == 5
    first, *others = ways.values()
    assert first["speed_over_first"] == {"median": 1.0, "quartiles": [1.0, 1.0]}
    assert all(way["milliseconds"]["median"] > 0.0 for way in others)
    # Fewer triangles are seen, and nothing else is
    assert {name for name, way in ways.items() if not way["is_exact"]} == {"the same, fewer triangles"}


@pytest.mark.slow
def test_openvla_throughput(tmp_path: Path) -> None:
    record = run("openvla_throughput.py", "--device", "cpu", "--batch-sizes", "1", "8", "--rounds", "2", folder=tmp_path)

    assert record["same"] == 1.0
    loop, *batched = record["results"].values()
    assert loop["over_loop"] == {"median": 1.0, "quartiles": [1.0, 1.0]}
    assert all(row["actions_per_second"]["median"] > 0.0 for row in batched)


def test_make_bench_runs_every_benchmark() -> None:
    makefile = (BENCHMARKS.parent / "Makefile").read_text()
    (names,) = re.findall(r"^BENCHMARKS := (.*)$", makefile, flags=re.MULTILINE)
    (recipe,) = re.findall(r"^bench:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)
    programs = {path.name for path in BENCHMARKS.glob("*.py") if '"--json"' in path.read_text()}
    assert {f"{name}.py" for name in names.split()} | set(re.findall(r"benchmarks/(\w+\.py)", recipe)) == programs

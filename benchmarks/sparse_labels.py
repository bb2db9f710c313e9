"""
What fewer questions to the teacher cost: RPD on the demo's task, with all states labeled and with few of them.

Task, teacher, settings, environment steps and held-out episodes are those of examples/maniskill2_demo.py. Each run's result is
appended to a file as soon as it is there; started again, the benchmark goes on with the runs that the file does not have.
Seeds come one after the other, each with all variants, so that a table can be printed at any time. One run takes some
minutes on one core.

    python benchmarks/sparse_labels.py                     # everything lands in runs/sparse_labels
    python benchmarks/sparse_labels.py --reward sparse
    python benchmarks/sparse_labels.py --variants every-5th --timesteps 120000
    python benchmarks/sparse_labels.py --quick             # does it run? too short to learn anything
"""

import argparse
import csv
import json
import multiprocessing
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported
sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))

import maniskill2_demo as demo

from sb3_rpd.common.gates import SuccessGate

#: What RPD is told about the labels, beside the demo's settings. 0.29 is the success rate of the demo's teacher by itself,
#: which is where SuccessGate closes by its definition; 0.5 leaves the teacher in place for longer.
VARIANTS: dict[str, dict[str, Any]] = {
    "all": {},
    "every-5th": {"label_every": 5},
    "fraction-0.2": {"label_fraction": 0.2},
    "gate-0.29": {"imitation_coef": SuccessGate(0.29, coef=demo.COEF)},
    "gate-0.5": {"imitation_coef": SuccessGate(0.5, coef=demo.COEF)},
}
BASELINES = ("teacher", "ppo")

#: Columns of the table: key of a result, heading, format.
FROM_TRAINING = (
    ("exploring_success", "success while exploring, last quarter", ".0%"),
    ("steps_to_50", "50% while exploring after", ",.0f"),
    ("steps_to_80", "80% after", ",.0f"),
    ("seconds", "seconds", ".0f"),
)


#: Options of the demo that a result depends on, beside its seed.
_OPTIONS = ("task", "reward", "gamma", "timesteps", "episodes", "log_std_init")


def rpd_arguments(variant: str, options: argparse.Namespace) -> dict[str, Any]:
    return {"imitation_coef": demo.COEF} | VARIANTS.get(variant, {}) | {"fast": options.fast}


def settings_of(variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that a result depends on, as JSON gives it back."""
    settings: dict[str, Any] = {name: getattr(options, name) for name in _OPTIONS}
    settings |= {"teacher": demo.TEACHERS[options.teacher], "n_envs": demo.N_ENVS, "episode_steps": demo.EPISODE_STEPS}
    settings |= {"ppo": demo.SETTINGS, "rpd": rpd_arguments(variant, options)}
    loaded: dict[str, Any] = json.loads(json.dumps(settings, default=repr))
    return loaded


def first_steps_at(rate: float, rows: list[dict[str, str]]) -> int | None:
    """Environment steps until the exploring student's last 100 episodes succeed this often for the first time."""
    reached = (row for row in rows if row["rollout/success_rate"] and float(row["rollout/success_rate"]) >= rate)
    row = next(reached, None)
    return None if row is None else int(row["time/total_timesteps"])


def exploring_success(rows: list[dict[str, str]]) -> float:
    """
    Success of the exploring student over the last quarter of training: the mean of its log, of which each line is over the
    last 100 episodes. Smoother than the evaluation of the last policy, which depends on the step at which training stops.
    """
    return fmean(float(row["rollout/success_rate"]) for row in rows[-max(len(rows) // 4, 1) :])


def train(variant: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train and evaluate one student in a process of its own, which takes its simulators with it when it ends."""
    name = "PPO" if variant == "ppo" else "RPD"
    arguments = (name, options, rpd_arguments(variant, options))
    process = multiprocessing.get_context("spawn").Process(target=demo.train, args=arguments, daemon=True)
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"Training {variant} with seed {options.seed} failed, see above.")
    folder = options.output / name.lower()
    with (folder / "progress.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    asked = [float(row["teacher/queries_per_state"]) for row in rows] if name == "RPD" else [0.0]
    return {
        **json.loads((folder / "result.json").read_text()),
        "queries_per_state": fmean(asked),
        "exploring_success": exploring_success(rows),
        "steps_to_50": first_steps_at(0.5, rows),
        "steps_to_80": first_steps_at(0.8, rows),
    }


def evaluate(variant: str, options: argparse.Namespace) -> dict[str, Any]:
    if variant != "teacher":
        return train(variant, options)
    teacher = demo.evaluate_teacher_alone(options)
    return {"successes": teacher.successes, "mean_return": teacher.mean_return, "mean_length": teacher.mean_length}


class Results:
    """
    Results in a file, one line of JSON for each run.

    :param path: The file. It need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines: list[dict[str, Any]] = []
        if path.exists():
            self.lines = [json.loads(line) for line in path.read_text().splitlines()]

    def find(self, run: dict[str, Any]) -> dict[str, Any] | None:
        """:return: The result of the run with this variant, seed and settings, None if there is none yet."""
        return next((line["result"] for line in self.lines if all(line[key] == run[key] for key in run)), None)

    def add(self, run: dict[str, Any], result: dict[str, Any]) -> None:
        self.lines.append({**run, "result": result})
        with self.path.open("a") as file:
            file.write(json.dumps(self.lines[-1]) + "\n")


def span(values: Iterable[float | None], form: str) -> str:
    """Median and, where there are several, smallest and largest; "never" for None, which is larger than every number."""
    numbers = sorted(float("inf") if value is None else value for value in values)

    def show(value: float) -> str:
        return "never" if value == float("inf") else format(value, form)

    middle = show(median(numbers))
    return middle if len(numbers) == 1 else f"{middle} ({show(numbers[0])} to {show(numbers[-1])})"


def table(by_variant: dict[str, list[dict[str, Any]]], episodes: int) -> str:
    """:return: A table in Markdown: medians over the seeds, with the range."""
    columns = ("labels", "questions per state", "success", "of each seed", *(heading for _, heading, _ in FROM_TRAINING))
    rows = [columns, ("---",) * len(columns)]
    for variant, results in by_variant.items():
        rates = [result["successes"] / episodes for result in results]
        success = (span(rates, ".0%"), ", ".join(format(rate, ".0%") for rate in rates))
        if variant == "teacher":
            rows.append((variant, "-", *success, *["-"] * len(FROM_TRAINING)))
            continue
        training = [span([result[key] for result in results], form) for key, _, form in FROM_TRAINING]
        rows.append((variant, span([result["queries_per_state"] for result in results], ".3f"), *success, *training))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = [*BASELINES, *VARIANTS]
    parser.add_argument("--variants", nargs="+", choices=choices, default=choices, metavar="VARIANT", help=", ".join(choices))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--timesteps", type=int, help="environment steps of each run; the demo's if not given")
    parser.add_argument("--reward", default="dense", help="see examples/maniskill2_demo.py")
    parser.add_argument("--gamma", type=float, default=0.99, help="see examples/maniskill2_demo.py")
    parser.add_argument("--plain", action="store_true", help="train with fast=False: other rounding, another sample")
    parser.add_argument("--output", type=Path, default=Path("runs/sparse_labels"))
    parser.add_argument("--quick", action="store_true", help="seed 0 alone, in runs of seconds; --timesteps does not count")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)

    shared = ["--teacher", "noisy", "--reward", args.reward, "--gamma", str(args.gamma)]
    shared += ["--quick"] if args.quick else ["--timesteps", str(args.timesteps)] if args.timesteps else []
    results = Results(args.output / "results.jsonl")
    by_variant: dict[str, list[dict[str, Any]]] = {variant: [] for variant in args.variants}
    for seed in [0] if args.quick else args.seeds:
        for variant in args.variants:
            if variant == "teacher" and by_variant[variant]:
                continue  # the students' seed is not the teacher's
            options = demo.parse_arguments(["--seed", str(seed), *shared])
            options.fast = False if args.plain else None
            path = "plain" if args.plain else "fast"
            options.output = args.output / f"{variant}-{options.reward}-{options.gamma}-{options.timesteps}-{path}-seed{seed}"
            run = {"variant": variant, "seed": seed, "settings": settings_of(variant, options)}
            result = results.find(run)
            print(f"{variant}, seed {seed}: {'is in ' + str(results.path) if result else 'starts'}", flush=True)
            if result is None:
                result = evaluate(variant, options)
                results.add(run, result)
                print(json.dumps(result), flush=True)
            by_variant[variant].append(result)
    print(f"\n{options.task}, {options.reward} reward, {options.timesteps:,} environment steps, ", end="")
    print(f"{options.episodes} held-out episodes\n")
    print(table(by_variant, options.episodes))


if __name__ == "__main__":
    main()

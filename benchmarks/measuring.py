"""Timing by turns, for all benchmarks: the contestants run one after the other in one process, compared round by round."""

import datetime
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import stable_baselines3
import torch as th

T = TypeVar("T")

#: How often a turn is repeated, the fastest counting: on a busy machine what is interrupted takes several times as long, by
#: its CPU time too, because it finds other programs' data in the caches.
REPEATS = 3


class Seconds(NamedTuple):
    """What a turn took: on the clock, and of the time of all threads of its process."""

    wall: float
    cpu: float


class Spread(NamedTuple):
    """A median with its quartiles."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"

    def as_json(self) -> dict[str, Any]:
        return {"median": self.median, "quartiles": [self.low, self.high]}


def spread(values: Sequence[float] | np.ndarray) -> Spread:
    low, median, high = np.percentile(values, [25, 50, 75])
    return Spread(float(median), float(low), float(high))


def spread_of_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """The ratios are taken round by round, so that what slows a whole round down cancels."""
    return spread(np.array(numerators) / np.array(denominators))


def take_turns(turns: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """
    Run all turns in every round; in every other round the other way round, so that nobody always comes first.

    :param turns: What to run, by name.
    :param rounds: How many rounds count. One more goes before them, to warm up.
    :return: What the turns returned in the rounds that count.
    """
    results: dict[str, list[T]] = {name: [] for name in turns}
    for index in range(rounds + 1):
        for name in list(turns)[:: 1 if index % 2 else -1]:
            result = turns[name]()
            if index > 0:
                results[name].append(result)
    return results


def fastest(turn: Callable[[], Seconds], clock: str) -> Seconds:
    """
    :param turn: What to run, ``REPEATS`` times.
    :param clock: Which of its times counts.
    :return: What the fastest run took.
    """
    return min((turn() for _ in range(REPEATS)), key=lambda seconds: getattr(seconds, clock))


def cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def write_record(path: Path | None, settings: Mapping[str, Any], results: Any) -> None:
    """
    Keep the figures with all that they depend on.

    :param path: A JSON file, None for none.
    :param settings: How the benchmark was run.
    :param results: Anything that JSON can hold.
    """
    if path is None:
        return
    machine = {
        "date": datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        "cpu": cpu_name(),
        "cpus": os.cpu_count(),
        "gpu": th.cuda.get_device_name() if th.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": th.__version__,
        "stable_baselines3": stable_baselines3.__version__,
        "numpy": np.__version__,
    }
    path.write_text(json.dumps({**machine, **settings, "results": results}, indent=2) + "\n")

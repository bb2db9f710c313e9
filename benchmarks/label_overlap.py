"""
How long an iteration takes with a slow teacher, over the shortest time possible: max(rollout, teacher) plus training.

The teacher is asleep for 120 ms and 6 ms for each entry of a batch, as long as a vision-language-action model in another
process or on a GPU might be busy; a step of all environments together is asleep for 5 ms. The shortest time possible is put
together from parts: the rollout without labels (measured), the teacher's time for all entries in the fewest batches, and
``train()`` (measured). The way of the paper's code, the teacher asked for each minibatch of each epoch, would take minutes and
is computed from the same parts; all others are run.

    python benchmarks/label_overlap.py [--rounds 3] [--quick] [--json FILE]
"""

import argparse
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
import torch as th
from free_env import FreeVecEnv, free_teacher
from gymnasium import spaces
from measuring import spread, write_record

from sb3_rpd import RPD

#: The most that an iteration may take, over the shortest time.
LIMIT = 1.05
OBSERVATION_SPACE = spaces.Box(-1.0, 1.0, (30,), np.float32)

#: Of each batch of the slow teacher, before it becomes slow.
WARM_UP_SECONDS = 0.01


@dataclass(frozen=True)
class Scene:
    """Who takes how long (seconds), and the size of a rollout."""

    step_seconds: float = 0.005
    call_seconds: float = 0.12
    entry_seconds: float = 0.006
    n_envs: int = 32
    n_steps: int = 64
    batch_size: int = 128
    n_epochs: int = 8
    label_batch_size: int = 256

    def teacher_seconds(self, n_entries: int, batch_size: int) -> float:
        """The teacher's time for so many entries, in the fewest batches."""
        return math.ceil(n_entries / batch_size) * self.call_seconds + n_entries * self.entry_seconds


class SlowTeacher:
    """``free_teacher``, asleep for a while; at first for as long as keeps RPD from asking it in place."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.is_slow = False
        self.batch_sizes: list[int] = []

    def __call__(self, observations: np.ndarray) -> np.ndarray:
        seconds = WARM_UP_SECONDS
        if self.is_slow:
            self.batch_sizes.append(len(observations))
            seconds = self.scene.teacher_seconds(len(observations), len(observations))
        time.sleep(seconds)
        return free_teacher(observations)


class TimedRPD(RPD):
    """RPD that keeps how long its last ``train()`` took."""

    train_seconds: float

    def train(self) -> None:
        started = time.perf_counter()
        super().train()
        self.train_seconds = time.perf_counter() - started


@dataclass(frozen=True)
class Iteration:
    """What was measured of one iteration."""

    seconds: float
    train_seconds: float
    n_asked: int
    queries_per_state: float


class Way:
    """One way of asking the teacher."""

    def __init__(self, scene: Scene, **options: Any) -> None:
        self.scene = scene
        self.env = FreeVecEnv(scene.n_envs, OBSERVATION_SPACE)
        self.teacher = SlowTeacher(scene)
        settings: dict[str, Any] = {"n_steps": scene.n_steps, "batch_size": scene.batch_size, "n_epochs": scene.n_epochs}
        options = {"label_batch_size": scene.label_batch_size} | options
        self.model = TimedRPD("MlpPolicy", self.env, teacher=self.teacher, device="cpu", seed=0, **settings, **options)
        self._learn()  # warms up, with a quicker teacher in free environments
        self.env.step_seconds, self.teacher.is_slow = scene.step_seconds, True

    def _learn(self) -> None:
        # Not logged at the first iteration, so that the logger keeps its values
        self.model.learn(self.scene.n_steps * self.scene.n_envs, reset_num_timesteps=False, log_interval=2)

    def iterate(self) -> Iteration:
        self.teacher.batch_sizes.clear()
        started = time.perf_counter()
        self._learn()
        seconds = time.perf_counter() - started
        per_state = self.model.logger.name_to_value.get("teacher/queries_per_state", 0.0)
        return Iteration(seconds, self.model.train_seconds, sum(self.teacher.batch_sizes), per_state)


def measure(scene: Scene, ways: dict[str, dict[str, Any]], rounds: int) -> dict[str, Any]:
    """Time each way of asking the teacher: the first one in all rounds, the others once, since most of it is sleep."""
    n_entries = scene.n_envs * scene.n_steps
    without = [Way(scene, imitation_coef=0.0).iterate() for _ in range(rounds)]
    env = spread([iteration.seconds - iteration.train_seconds for iteration in without]).median
    rows: dict[str, Any] = {}
    print(f"\n{scene}\nA rollout without labels takes {env:.2f} s.\n")
    print("| | seconds | shortest | ratio | queries per state |\n| :--- | ---: | ---: | ---: | ---: |")
    for index, (name, options) in enumerate(ways.items()):
        way = Way(scene, **options)
        iterations = [way.iterate() for _ in range(rounds if index == 0 else 1)]
        train = spread([iteration.train_seconds for iteration in iterations]).median
        shortest = max(env, scene.teacher_seconds(iterations[0].n_asked, scene.label_batch_size)) + train
        seconds = spread([iteration.seconds for iteration in iterations])
        ratio = spread([iteration.seconds / shortest for iteration in iterations])
        queries = iterations[0].queries_per_state
        if abs(queries - iterations[0].n_asked / n_entries) > 1e-9:
            raise RuntimeError(f"The log says {queries} queries per state, the teacher counted {iterations[0].n_asked}.")
        print(f"| {name} | {seconds.median:.2f} | {shortest:.2f} | {ratio.median:.3f} | {queries:.3f} |", flush=True)
        figures = {"seconds": seconds.as_json(), "ratio": ratio.as_json(), "shortest": shortest, "train_seconds": train}
        rows[name] = figures | {"queries_per_state": queries, "rounds": len(iterations)}
        if index == 0:
            asked = scene.n_epochs * scene.teacher_seconds(n_entries, scene.batch_size)
            computed = env + train + asked
            print(f"| each minibatch of each epoch (computed) | {computed:.2f} | {shortest:.2f} | {computed / shortest:.3f} |")
            rows["each minibatch"] = {"computed_seconds": computed, "computed_ratio": computed / shortest}
    return {"scene": vars(scene), "rollout_seconds": env, "ways": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="a small rollout: shows that all of it runs, no figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()
    th.set_num_threads(1)

    scene, slow_scene = Scene(), Scene(step_seconds=0.2)
    if args.quick:
        scene = Scene(0.001, 0.002, 0.0001, n_envs=4, n_steps=16, batch_size=16, n_epochs=1, label_batch_size=16)
        slow_scene = scene
    ways: dict[str, dict[str, Any]] = {
        "RPD": {},
        "at each step, synchronously": {"label_batch_size": scene.n_envs, "label_asynchronously": False},
        "in large batches, synchronously": {"label_asynchronously": False},
        "RPD, label_every=5": {"label_every": 5},
        "RPD, label_fraction=0.2": {"label_fraction": 0.2},
    }
    print(f"Seconds of an iteration; the limit of RPD's ratio is {LIMIT} where the teacher takes far longer than the rollout")
    results = {
        "slow teacher": measure(scene, ways, args.rounds),
        # Where overlapping is hardest: neither takes longer, and no environment runs while the last batch is answered
        "slow teacher and environments": measure(slow_scene, {"RPD": {}}, rounds=1),
    }
    write_record(args.json, {"limit": LIMIT, "threads": th.get_num_threads(), "quick": args.quick}, results)


if __name__ == "__main__":
    main()

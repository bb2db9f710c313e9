"""
What a teacher that looks at pictures costs: steps of ManiSkill2's LiftCube in an RPD rollout, for a student that sees the
state and a teacher that sees the "human" camera, rendered in software.

A frame is rendered for the states that will be labeled and for no others. So a step should take what it takes without a
teacher's view, plus a frame's time by the share of the states that have a label; each way of labeling is held against that
sum. All take turns in one process, round by round. Time is CPU time of the process; the teacher itself costs nothing, and
training is not counted.

    python benchmarks/teacher_frames.py [--rounds 15] [--steps 100] [--size 224] [--json FILE]
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import gymnasium as gym
import numpy as np
import torch as th
from measuring import spread, spread_of_ratios, take_turns, write_record
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.envs import human_frame, make_maniskill2_env, make_maniskill2_vec_env

#: How far a step may be from the sum of its parts.
LIMIT = 0.05
N_ENVS = 2

#: The ways of labeling.
WAYS: dict[str, dict[str, Any]] = {
    "all labels": {},
    "every 5th": {"label_every": 5},
    "20% at random": {"label_fraction": 0.2},
    "gate shut": {"imitation_coef": 0.0},
}


class TimedRPD(RPD):
    """Counts the CPU seconds of its rollouts."""

    rollout_seconds = 0.0

    def collect_rollouts(
        self, env: VecEnv, callback: BaseCallback, rollout_buffer: RolloutBuffer, n_rollout_steps: int
    ) -> bool:
        started = time.process_time()
        goes_on = super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        self.rollout_seconds += time.process_time() - started
        return goes_on


class Turn(NamedTuple):
    """What was measured of some steps, for each of them."""

    seconds: float
    labeled: float
    rendered: float


class CountedFrames:
    """Shows a teacher the frames of the "human" camera, and counts them."""

    rendered = 0

    def __call__(self, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        return TeacherActionWrapper(env, observation={"frame": self._frame})

    def _frame(self, env: gym.Env[Any, Any]) -> np.ndarray:
        self.rendered += 1
        return human_frame(env)


def stand_still(observations: dict[str, np.ndarray]) -> np.ndarray:
    return np.zeros((len(observations["frame"]), 7), np.float32)


def make_rollout(n_steps: int, size: int, arguments: dict[str, Any], is_shown: bool = True) -> Callable[[], Turn]:
    """:return: What collects one rollout."""
    frames = CountedFrames()
    env = make_maniskill2_vec_env(
        "LiftCube-v0",
        N_ENVS,
        seed=0,
        render_mode="rgb_array",
        image_size=size,
        renderer="software",
        wrap=frames if is_shown else None,
    )
    teacher = stand_still if is_shown else lambda observations: np.zeros((len(observations), 7), np.float32)
    settings: dict[str, Any] = {"n_steps": n_steps, "batch_size": n_steps * N_ENVS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    model = TimedRPD("MlpPolicy", env, teacher=teacher, label_batch_size=16, **(settings | arguments))

    def collect() -> Turn:
        model.rollout_seconds, frames.rendered = 0.0, 0
        model.learn(n_steps * N_ENVS, reset_num_timesteps=False)
        n_states = n_steps * N_ENVS
        labeled = model.rollout_buffer.labeled_fraction()
        return Turn(model.rollout_seconds / n_states, labeled, frames.rendered / n_states)

    return collect


def make_frames(n_steps: int, size: int) -> Callable[[], Turn]:
    """
    :return: By how many CPU seconds a frame after each step makes the steps of a bare environment longer: it has to be
        rendered, and the physics after it no longer finds its data in the processor's caches.
    """
    env = make_maniskill2_env("LiftCube-v0", render_mode="rgb_array", image_size=size, renderer="software")
    actions = np.random.default_rng(0).uniform(-1, 1, (n_steps, 7)).astype(np.float32)

    def steps(with_frames: bool) -> float:
        env.reset(seed=0)
        started = time.process_time()
        for action in actions:
            env.step(action)
            if with_frames:
                env.render()
        return time.process_time() - started

    def render() -> Turn:
        without = steps(False)
        return Turn((steps(True) - without) / n_steps, labeled=0.0, rendered=1.0)

    return render


def compare(rounds: int, n_steps: int, size: int) -> dict[str, Any]:
    """Each way's time for a step, beside the time that its parts take in the same round."""
    turns = {name: make_rollout(n_steps, size, arguments) for name, arguments in WAYS.items()}
    turns["no view"] = make_rollout(n_steps, size, {"imitation_coef": 0.0}, is_shown=False)
    turns["frame"] = make_frames(n_steps, size)
    results = take_turns(turns, rounds)
    seconds = {name: np.array([turn.seconds for turn in made]) for name, made in results.items()}
    rows = {}
    for name in WAYS:
        shares = np.array([turn.labeled for turn in results[name]])
        expected = seconds["no view"] + shares * seconds["frame"]
        rows[name] = {
            "labeled": float(shares.mean()),
            "rendered": float(np.mean([turn.rendered for turn in results[name]])),
            "steps_per_cpu_second": spread(1.0 / seconds[name]).as_json(),
            "over_expected": spread_of_ratios(seconds[name], expected).as_json(),
            "speed_over_all_labels": spread_of_ratios(seconds["all labels"], seconds[name]).as_json(),
        }
    parts = {name: spread(1000 * seconds[name]).as_json() for name in ("no view", "frame")}
    return {"milliseconds": parts, "ways": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, help=f"steps of each of the {N_ENVS} environments in each turn")
    parser.add_argument("--size", type=int, default=224, help="side of the teacher's frames in pixels")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()
    th.set_num_threads(1)

    results = compare(args.rounds, args.steps, args.size)
    for name, part in results["milliseconds"].items():
        print(
            f"{name:14s} {part['median']:6.2f} ms of CPU (quartiles {part['quartiles'][0]:.2f} to {part['quartiles'][1]:.2f})"
        )
    print(f"steps per CPU second, and a step's time over that of its parts (limit {1 - LIMIT} to {1 + LIMIT}):")
    for name, row in results["ways"].items():
        speed, over = row["steps_per_cpu_second"], row["over_expected"]
        print(
            f"{name:14s} {speed['median']:6.1f} ({speed['quartiles'][0]:.1f} to {speed['quartiles'][1]:.1f})   "
            f"{over['median']:.3f} ({over['quartiles'][0]:.3f} to {over['quartiles'][1]:.3f})   labeled {row['labeled']:.3f}"
        )
    write_record(args.json, {"rounds": args.rounds, "steps": args.steps, "size": args.size, "limit": LIMIT}, results)


if __name__ == "__main__":
    main()

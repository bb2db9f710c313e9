"""
What this package's wrappers cost: one ManiSkill2 step with them, divided by one step of ManiSkill2's own environment.

All variants play the same episodes with the same actions in one process, in turns; in each round every variant's time is
divided by the bare environment's, and the median over the rounds is reported with the quartiles. Time is CPU time of the
process. No variant has a renderer, which leaves ManiSkill2 the least work of its own to hide behind.

    python benchmarks/env_overhead.py [--tasks LiftCube-v0 PickCube-v0] [--rounds 15] [--steps 100] [--json FILE]
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import gymnasium as gym
import numpy as np
import torch as th
from measuring import spread_of_ratios, write_record

from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.envs import ASSET_FREE_TASKS, make_maniskill2_env, privileged_state, proprioception, task_instruction
from sb3_rpd.envs.maniskill2.installation import import_maniskill2
from sb3_rpd.envs.maniskill2.physics_only import physics_only

#: The most that a step with the environment's wrapper may take, as a multiple of a step without.
LIMIT = 1.05


def make_variants(task: str) -> dict[str, gym.Env[Any, Any]]:
    """ManiSkill2's own environment; ours; ours with what a teacher is shown in ``info``."""
    import_maniskill2()
    with physics_only():
        bare = gym.make(task, obs_mode="state", control_mode="pd_ee_delta_pose", reward_mode="normalized_dense")
    shown = privileged_state if "Cube" in task else proprioception
    wrapped = make_maniskill2_env(task)
    taught = TeacherActionWrapper(make_maniskill2_env(task), observation={"state": shown}, instruction=task_instruction)
    return {"bare": bare, "wrapped": wrapped, "with_teacher_info": taught}


def time_steps(env: gym.Env[Any, Any], actions: np.ndarray, seed: int) -> tuple[float, float]:
    """CPU seconds for one episode's steps, and the episode's return."""
    env.reset(seed=seed)
    total = 0.0
    started = time.process_time()
    for action in actions:
        total += float(env.step(action)[1])
    return time.process_time() - started, total


def compare(task: str, rounds: int, steps: int) -> dict[str, Any]:
    """Step the variants in turns; the order of the turns is reversed in every other round."""
    envs = make_variants(task)
    rng = np.random.default_rng(0)
    seconds: dict[str, list[float]] = {name: [] for name in envs}
    for index in range(rounds + 1):
        actions = rng.uniform(-1, 1, (steps, *envs["bare"].action_space.shape)).astype(np.float32)
        returns = {}
        for name in list(envs)[:: 1 if index % 2 else -1]:
            elapsed, returns[name] = time_steps(envs[name], actions, seed=index)
            if index > 0:  # the first round warms up
                seconds[name].append(elapsed)
        # the default reward is ManiSkill2's dense one minus 1 in each step
        if not np.allclose([returns["wrapped"], returns["with_teacher_info"]], returns["bare"] - steps, rtol=0, atol=1e-9):
            raise RuntimeError(f"{task}: the variants gave different returns, {returns}")
    for env in envs.values():
        env.close()
    bare = seconds.pop("bare")
    result: dict[str, Any] = {"task": task, "bare_step_ms": 1000 * np.median(bare) / steps}
    return result | {name: spread_of_ratios(elapsed, bare).as_json() for name, elapsed in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(ASSET_FREE_TASKS), metavar="TASK")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, help="steps in each turn")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()
    th.set_num_threads(1)

    results = []
    print(f"CPU time of a step, as a multiple of the bare step's; {args.rounds} rounds of {args.steps} steps; limit {LIMIT}")
    for task in args.tasks:
        result = compare(task, args.rounds, args.steps)
        print(f"{task} (bare: {result['bare_step_ms']:.2f} ms)")
        for name in ("wrapped", "with_teacher_info"):
            low, high = result[name]["quartiles"]
            print(f"    {name:18s} {result[name]['median']:.3f}  (quartiles {low:.3f} to {high:.3f})")
        results.append(result)
    write_record(args.json, {"rounds": args.rounds, "steps": args.steps, "limit": LIMIT}, results)


if __name__ == "__main__":
    main()

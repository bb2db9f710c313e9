"""
How much memory a rollout of camera frames takes at its peak, over the bytes that are in it: SB3's buffer and RPD's.

A buffer is filled and one epoch of minibatches is taken from it, two iterations in a row, each buffer in a process of its own.
The peak is counted in two ways: as growth of the process (the most that was resident, less what was resident before the buffer
was made) and as ``tracemalloc`` sees the arrays. RPD's buffer has a label for every entry; the labels are not counted as data.

    python benchmarks/rollout_memory.py [--sizes N_ENVS N_STEPS BATCH_SIZE] [--quick] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
import torch as th
from free_env import ACTION_DIM, FreeVecEnv, free_teacher
from gymnasium import spaces
from measuring import write_record
from stable_baselines3 import PPO

from sb3_rpd import RPD
from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.teacher_outputs import CheckedOutput

#: The most that RPD's rollout may take at its peak, over its data.
LIMIT = 1.1
ALGORITHMS: dict[str, type[PPO]] = {"SB3": PPO, "RPD": RPD}
MEASURES = ("resident", "tracemalloc")
OBSERVATION_SPACE = spaces.Box(0, 255, (3, 128, 128), np.uint8)
#: For each entry reward, episode start, value, log-probability, advantage and return.
N_SCALARS = 6


def resident_bytes(field: str) -> int:
    """:param field: "VmRSS", what is resident now, or "VmHWM", the most that ever was."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"This benchmark needs Linux: /proc/self/status has no {field}.")


def fill(buffer: Any, observations: np.ndarray) -> None:
    """The same observations at each step: they are copied, and take no memory of their own."""
    actions = free_teacher(observations).astype(np.float32)
    scalars, envs = np.zeros(buffer.n_envs, dtype=np.float32), np.arange(buffer.n_envs)
    buffer.reset()
    for step in range(buffer.buffer_size):
        buffer.add(observations, actions, scalars, scalars, th.zeros(buffer.n_envs), th.zeros(buffer.n_envs))
        if isinstance(buffer, TeacherLabelsMixin):
            buffer.add_labels(np.full_like(envs, step), envs, CheckedOutput(actions))
    buffer.compute_returns_and_advantage(th.zeros(buffer.n_envs), scalars)


class Sizes(NamedTuple):
    """Of a rollout and of the minibatches, which take memory as well."""

    n_envs: int
    n_steps: int
    batch_size: int


def peaks(algorithm: str, measure: str, sizes: Sizes) -> list[int]:
    """:return: Bytes at the peak until the end of the first iteration, and until the end of the second."""
    th.set_num_threads(1)
    policy_kwargs = {"features_extractor_kwargs": {"features_dim": 1}}
    model = ALGORITHMS[algorithm](
        "CnnPolicy", FreeVecEnv(1, OBSERVATION_SPACE), n_steps=2, batch_size=2, policy_kwargs=policy_kwargs, device="cpu"
    )
    observations = np.full((sizes.n_envs, *OBSERVATION_SPACE.shape), 1, dtype=np.uint8)
    before = resident_bytes("VmRSS")
    is_traced = measure == "tracemalloc"
    if is_traced:
        tracemalloc.start()
    buffer_class = type(model.rollout_buffer)
    buffer = buffer_class(sizes.n_steps, OBSERVATION_SPACE, model.action_space, device="cpu", n_envs=sizes.n_envs)
    result = []
    for _ in range(2):
        fill(buffer, observations)
        for samples in buffer.get(sizes.batch_size):
            del samples
        result.append(tracemalloc.get_traced_memory()[1] if is_traced else resident_bytes("VmHWM") - before)
    return result


def peaks_in_a_process(algorithm: str, measure: str, sizes: Sizes) -> list[int]:
    command = [sys.executable, __file__, "--only", algorithm, measure, "--sizes", *map(str, sizes)]
    return [int(peak) for peak in json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs=3, type=int, default=[128, 50, 128], metavar=("N_ENVS", "N_STEPS", "BATCH_SIZE"))
    parser.add_argument("--quick", action="store_true", help="a small rollout: shows that all of it runs, no figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # for the processes that this one starts
    args = parser.parse_args()
    sizes = Sizes(32, 16, 32) if args.quick else Sizes(*args.sizes)
    if args.only:
        algorithm, measure = args.only
        print(json.dumps(peaks(algorithm, measure, sizes)))
        return

    entry_bytes = int(np.prod(OBSERVATION_SPACE.shape)) + 4 * (ACTION_DIM + N_SCALARS)
    data = sizes.n_envs * sizes.n_steps * entry_bytes
    print(f"{sizes}: {data / 2**20:.0f} MiB of data, observations {OBSERVATION_SPACE.shape} uint8")
    print(f"The peak, over the data; limit {LIMIT}\n")
    print("| buffer | resident, iteration 1 | iteration 2 | tracemalloc, iteration 1 | iteration 2 |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    results: dict[str, dict[str, list[float]]] = {}
    for algorithm in ALGORITHMS:
        results[algorithm] = {}
        for measure in MEASURES:
            results[algorithm][measure] = [peak / data for peak in peaks_in_a_process(algorithm, measure, sizes)]
        figures = " | ".join(f"{ratio:.2f}" for measure in MEASURES for ratio in results[algorithm][measure])
        print(f"| {algorithm} | {figures} |", flush=True)
    write_record(args.json, {**sizes._asdict(), "data_bytes": data, "limit": LIMIT, "quick": args.quick}, results)


if __name__ == "__main__":
    main()

"""
What a busy teacher costs its student: in a thread of the student's process, and in a process of its own.

PPO trains CartPole while a thread asks a teacher about one batch of camera frames after the other. Iterations of training are
timed with no teacher, with the teacher in that thread, and with the same teacher in a ``ProcessTeacher``, in turns; in each
round the times are divided by the first one, and the median over the rounds is reported with the quartiles. Three teachers:
one that computes in Python, one that calls many small tensor operations (an eager network on a GPU keeps its thread busy like
that), and one that multiplies large matrices. Each is bound to one core; a machine with fewer than two free cores measures the
cores instead.

An iteration is short on purpose: 8 steps and one minibatch, some 650 tensor operations. A thread that computes in Python gives
the interpreter away only after 5 ms (``sys.getswitchinterval``), and on an idle machine the student can have to wait that long
after each operation: seconds for such an iteration, minutes for one of usual length.

    python benchmarks/process_teacher.py [--rounds 9] [--json FILE]
"""

import argparse
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
import torch as th
from gymnasium import spaces
from measuring import spread, spread_of_ratios, take_turns, write_record
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_rpd.teachers import ProcessTeacher, Teacher

#: For how long iterations are repeated and timed together, at least one of them.
SECONDS = 0.5

#: What the teacher is shown: 16 camera frames.
FRAMES = np.zeros((16, 224, 224, 3), dtype=np.uint8)


def compute_in_python() -> None:
    total = 0
    for number in range(1_000_000):
        total += number * number


def call_small_operations() -> None:
    weights, hidden = th.full((64, 64), 1 / 64), th.ones(1, 64)
    for _ in range(10_000):
        hidden = th.relu(hidden @ weights)


def multiply_large_matrices() -> None:
    matrix = th.full((1024, 1024), 1 / 1024)
    for _ in range(4):
        matrix = matrix @ matrix


class BusyTeacher(Teacher):
    """
    Does some work for each batch.

    :param work: The work.
    """

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work

    def predict(self, observations: Any, instructions: Sequence[str] | None = None) -> np.ndarray:
        with th.no_grad():
            self.work()
        return np.zeros(len(observations["frame"]), dtype=np.int64)


WORK = {
    "Python": compute_in_python,
    "small tensors": call_small_operations,
    "large tensors": multiply_large_matrices,
}


@contextlib.contextmanager
def asked_all_the_time(teacher: Teacher | None) -> Iterator[None]:
    """A thread that asks the teacher as long as the context lasts."""
    is_over = threading.Event()

    def ask() -> None:
        while teacher is not None and not is_over.is_set():
            teacher.predict({"frame": FRAMES})

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def seconds_of_an_iteration(model: PPO, teacher: Teacher | None) -> float:
    with asked_all_the_time(teacher):
        started = time.perf_counter()
        n_iterations, elapsed = 0, 0.0
        while elapsed < SECONDS:
            model.learn(model.n_steps * model.n_envs, reset_num_timesteps=False)
            n_iterations, elapsed = n_iterations + 1, time.perf_counter() - started
        return elapsed / n_iterations


def measure(rounds: int) -> dict[str, Any]:
    env = make_vec_env("CartPole-v1", n_envs=4, seed=0)
    model = PPO("MlpPolicy", env, n_steps=8, batch_size=32, n_epochs=1, device="cpu", seed=0)
    teachers: dict[str, Teacher | None] = {"none": None}
    for name, work in WORK.items():
        teachers[f"{name}, thread"] = BusyTeacher(work)
        teachers[f"{name}, process"] = ProcessTeacher(partial(BusyTeacher, work))
    turns = {name: lambda teacher=teacher: seconds_of_an_iteration(model, teacher) for name, teacher in teachers.items()}
    try:
        for teacher in teachers.values():
            if teacher is not None:
                teacher.setup(spaces.Discrete(2))
        seconds = take_turns(turns, rounds)
    finally:
        for teacher in teachers.values():
            if teacher is not None:
                teacher.close()
    alone = seconds.pop("none")
    print(f"{spread(alone).median:.3f} s for an iteration of training without a teacher; with one, as a multiple of that:")
    ratios = {name: spread_of_ratios(own, alone) for name, own in seconds.items()}
    for name, ratio in ratios.items():
        print(f"    {name:24s} {ratio}")
    return {"iteration_seconds": spread(alone).as_json()} | {name: ratio.as_json() for name, ratio in ratios.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()
    th.set_num_threads(1)

    write_record(args.json, {"rounds": args.rounds}, measure(args.rounds))


if __name__ == "__main__":
    main()

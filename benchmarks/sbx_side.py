"""
PPO of SBX (https://github.com/araffin/sbx, JAX), timed in a process and an environment of its own: the far end of ``SBX``.

    VENV/bin/python benchmarks/sbx_side.py STUDENT [--quick]

Prints a line when it is ready. Then it does what each line of its input says, "train" or "iterate", and prints what that took:
seconds on the clock and of the CPU time of all threads.
"""

import copy
import os
import sys
import time
from collections.abc import Callable
from typing import Any

# Before jax is imported: one thread, as all others have
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import torch as th
from free_env import FreeVecEnv
from sbx import PPO
from students import QUICK, STUDENTS


class Side:
    """One model, which starts every ``train()`` with the same weights and the same rollout."""

    def __init__(self, name: str, quick: bool) -> None:
        student = (QUICK if quick else STUDENTS)[name]
        env = FreeVecEnv(student.n_envs, student.observation_space, student.action_space)
        self.model = PPO(student.policy, env, **student.arguments)
        self.first = (self.model.policy.actor_state, self.model.policy.vf_state)
        self.model.train, train = lambda: None, self.model.train
        self.iterate()
        self.model.train = train
        self.rollout = copy.deepcopy(self.model.rollout_buffer)

    def iterate(self) -> tuple[float, float]:
        steps = self.model.n_steps * self.model.n_envs
        return seconds(lambda: self.model.learn(steps, reset_num_timesteps=False))

    def train(self) -> tuple[float, float]:
        self.model.rollout_buffer = copy.deepcopy(self.rollout)
        self.model.policy.actor_state, self.model.policy.vf_state = self.first
        return seconds(self.model.train)


def seconds(work: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    th.set_num_threads(1)
    side = Side(sys.argv[1], "--quick" in sys.argv)
    print("ready", flush=True)
    for line in sys.stdin:
        print(*{"train": side.train, "iterate": side.iterate}[line.strip()](), flush=True)


if __name__ == "__main__":
    main()

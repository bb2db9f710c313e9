"""
Runs a program of the documentation as it stands, with less of everything:

    python run_program.py PROGRAM PORT

Trainings stop after two rollouts of 8 steps, simulators are two at most. What a reader has and a test has not is stood in
for: every port of "gpu-machine" is PORT of this machine, and the published OpenVLA checkpoint a tiny one of the same layout.
"""

import runpy
import socket
import sys
import tempfile
from functools import cache
from typing import Any

import torch as th
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

import sb3_rpd.envs.simulators as simulators
import sb3_rpd.teachers.openvla.teacher as openvla_teacher
from sb3_rpd.teachers.openvla import make_tiny_openvla

N_STEPS = 8
N_SIMULATORS = 2


def train_less() -> None:
    init = OnPolicyAlgorithm.__init__

    def init_less(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs | {"n_steps": N_STEPS} if "n_steps" in kwargs else kwargs)

    OnPolicyAlgorithm.__init__ = init_less  # type: ignore[method-assign]
    # MaskablePPO has a loop of its own
    for algorithm in (OnPolicyAlgorithm, MaskablePPO):
        learn_less(algorithm)


def learn_less(algorithm: Any) -> None:
    learn = algorithm.learn

    def two_rollouts(self: Any, total_timesteps: int, *args: Any, **kwargs: Any) -> Any:
        return learn(self, min(total_timesteps, 2 * self.n_steps * self.n_envs), *args, **kwargs)

    algorithm.learn = two_rollouts


def simulate_less() -> None:
    make = simulators.make_vec_env

    def make_less(env_id: Any, n_envs: int, *args: Any, **kwargs: Any) -> Any:
        return make(env_id, min(n_envs, N_SIMULATORS), *args, **kwargs)

    simulators.make_vec_env = make_less


def evaluate_sooner() -> None:
    init = EvalCallback.__init__

    def init_sooner(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs | {"eval_freq": N_STEPS, "n_eval_episodes": 2})

    EvalCallback.__init__ = init_sooner  # type: ignore[method-assign]


def find_gpu_machine_here(gpu_port: int) -> None:
    look_up = socket.getaddrinfo

    def look_up_here(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        place = ("127.0.0.1", gpu_port) if host == "gpu-machine" else (host, port)
        return look_up(*place, *args, **kwargs)

    socket.getaddrinfo = look_up_here


def publish_tiny_openvla() -> None:
    find = openvla_teacher.find_checkpoint
    # Made when it is asked for: that takes seconds, and few programs do
    make_once = cache(lambda: make_tiny_openvla(tempfile.mkdtemp()))

    def find_tiny(checkpoint: Any, revision: str | None) -> Any:
        return make_once() if checkpoint == openvla_teacher.CHECKPOINT else find(checkpoint, revision)

    openvla_teacher.find_checkpoint = find_tiny


if __name__ == "__main__":
    th.set_num_threads(1)
    train_less()
    evaluate_sooner()
    program, port = sys.argv[1:]
    find_gpu_machine_here(int(port))
    publish_tiny_openvla()
    sys.argv = [program]
    runpy.run_path(program, run_name="__main__")

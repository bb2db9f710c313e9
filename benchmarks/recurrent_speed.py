"""
How fast RecurrentRPD trains with its imitation term on, beside sb3-contrib's RecurrentPPO without it.

Timed is ``train()`` on a full rollout of environments and a teacher that cost nothing, by the CPU time of the process, with
one thread for tensors. The contestants take turns; the median of the ratios, round by round, is reported with the quartiles.

    python benchmarks/recurrent_speed.py [--sizes 64 256] [--rounds 9] [--quick] [--json FILE]
"""

import argparse
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
import torch as th
from free_env import FreeVecEnv, free_teacher
from gymnasium import spaces
from measuring import spread_of_ratios, take_turns, write_record
from sb3_contrib import RecurrentPPO

from sb3_rpd import RecurrentRPD

STATE_SPACE = spaces.Box(-1.0, 1.0, (30,), np.float32)
#: RecurrentPPO's own defaults, with episodes that are cut into two.
ROLLOUT = {"n_steps": 128, "batch_size": 128, "n_epochs": 10}
QUICK = {"n_steps": 8, "batch_size": 8, "n_epochs": 1}
N_ENVS = 8


def make(algorithm: type[RecurrentPPO], size: int, quick: bool, **kwargs: Any) -> RecurrentPPO:
    """:return: A model with a complete rollout, which has trained once."""
    env = FreeVecEnv(N_ENVS, STATE_SPACE, episode_steps=100)
    arguments = (QUICK if quick else ROLLOUT) | {"policy_kwargs": {"lstm_hidden_size": size}, "seed": 0, "device": "cpu"}
    model = algorithm("MlpLstmPolicy", env, **arguments, **kwargs)
    return model.learn(model.n_steps * N_ENVS)


def seconds_of_training(model: RecurrentPPO) -> float:
    started = time.process_time()
    model.train()
    return time.process_time() - started


def compete(size: int, rounds: int, quick: bool) -> dict[str, Any]:
    models = {
        "RecurrentPPO": make(RecurrentPPO, size, quick),
        "RecurrentRPD": make(RecurrentRPD, size, quick, teacher=free_teacher),
        "RecurrentRPD, plain path": make(RecurrentRPD, size, quick, teacher=free_teacher, fast=False),
    }
    turns = {name: lambda model=model: seconds_of_training(model) for name, model in models.items()}
    seconds = take_turns(turns, rounds)
    speeds = {name: spread_of_ratios(seconds["RecurrentPPO"], own) for name, own in seconds.items()}
    for name, speed in speeds.items():
        print(f"LSTM of {size:3d}  {name:24s} {speed} times the speed of RecurrentPPO", flush=True)
    return {name: {"speed_over_recurrent_ppo": speed.as_json()} for name, speed in speeds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], help="of the LSTMs")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true", help="a few small minibatches: shows that all of it runs, no figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()
    th.set_num_threads(1)

    results = {size: compete(size, args.rounds, args.quick) for size in args.sizes}
    write_record(args.json, {"threads": th.get_num_threads(), "quick": args.quick}, results)


if __name__ == "__main__":
    main()

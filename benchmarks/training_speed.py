"""
How fast RPD trains with its imitation term on, beside PPO without it and beside other ways to have that term.

Timed are ``train()`` on a full rollout buffer, the same rollout for everybody and written anew before each turn, and a whole
iteration (collect and train) in environments that cost nothing. The teacher costs nothing either, so that only the way of
training counts. The contestants take turns in one process, with one thread for tensors; in each round the times are divided by
one another, and the median over the rounds is reported with the quartiles. On a CPU they are CPU times of the whole process,
the thread that asks the teacher included, because a busy machine hardly changes these; on a GPU they are times on the clock.

    python benchmarks/training_speed.py [--students mlp cnn] [--device cuda] [--ppd FOLDER] [--quick] [--json FILE]

``--ppd`` names the folder of a copy of https://github.com/spiglerg/sb3_distill; without it that row is left out.
"""

import argparse
import dataclasses
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
import torch as th
from free_env import FreeVecEnv, free_teacher
from gymnasium import spaces
from measuring import spread, spread_of_ratios, take_turns, write_record
from rivals import FreeTeacherModel, ObviousRPD, load_ppd
from stable_baselines3 import PPO
from stable_baselines3.common.utils import obs_as_tensor

from sb3_rpd import RPD
from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.teacher_outputs import CheckedOutput


@dataclass(frozen=True)
class Student:
    """A network, the size of its rollouts, and how many rounds to time it in."""

    policy: str
    observation_space: spaces.Box
    n_envs: int
    n_steps: int
    batch_size: int
    n_epochs: int
    train_rounds: int
    loop_rounds: int


STATE_SPACE = spaces.Box(-1.0, 1.0, (30,), np.float32)
STUDENTS = {
    "mlp": Student("MlpPolicy", STATE_SPACE, 8, 256, 256, 8, train_rounds=25, loop_rounds=25),
    "cnn": Student("CnnPolicy", spaces.Box(0, 255, (3, 128, 128), np.uint8), 8, 64, 128, 2, train_rounds=5, loop_rounds=0),
}
#: On a GPU rounds take milliseconds, collecting included.
GPU_ROUNDS = 25
#: Rounds of milliseconds.
QUICK = {
    "mlp": Student("MlpPolicy", STATE_SPACE, 2, 16, 16, 2, train_rounds=2, loop_rounds=2),
    "cnn": Student("CnnPolicy", spaces.Box(0, 255, (3, 36, 36), np.uint8), 2, 8, 8, 1, train_rounds=2, loop_rounds=2),
}


class RecordedStep(NamedTuple):
    """The arguments of ``RolloutBuffer.add``."""

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    episode_starts: np.ndarray
    values: th.Tensor
    log_probs: th.Tensor


class Rollout:
    """One rollout, to be written into the buffers of all contestants."""

    def __init__(self, model: PPO, env: FreeVecEnv) -> None:
        self.steps: list[RecordedStep] = []
        observations, dones = env.reset(), np.ones(env.num_envs, dtype=bool)
        for _ in range(model.n_steps):
            with th.no_grad():
                actions, values, log_probs = model.policy(obs_as_tensor(observations, model.device))
            new_observations, rewards, new_dones, _ = env.step(actions.cpu().numpy())
            assert isinstance(new_observations, np.ndarray)
            self.steps.append(RecordedStep(observations, actions.cpu().numpy(), rewards, dones, values, log_probs))
            observations, dones = new_observations, new_dones
        with th.no_grad():
            self.last_values = model.policy.predict_values(obs_as_tensor(observations, model.device))
        self.last_dones = dones

    def write_to(self, buffer: Any) -> None:
        buffer.reset()
        for step in self.steps:
            buffer.add(*step)
        buffer.compute_returns_and_advantage(self.last_values, self.last_dones)
        if isinstance(buffer, TeacherLabelsMixin):
            envs = np.arange(buffer.n_envs)
            for index, step in enumerate(self.steps):
                labels = CheckedOutput(free_teacher(step.observations).astype(np.float32))
                buffer.add_labels(np.full_like(envs, index), envs, labels)


class Seconds(NamedTuple):
    """What a turn took: on the clock, and of the time of all threads of this process."""

    wall: float
    cpu: float


class Contestant:
    """One algorithm, which starts every turn with the same student and the same rollout."""

    def __init__(self, model: PPO) -> None:
        self.model = model
        self.first_weights = {name: tensor.clone() for name, tensor in model.policy.state_dict().items()}
        self.iterate()  # prepares everything that only learn() prepares, such as the logger

    def iterate(self) -> Seconds:
        """One iteration: collect a rollout, train on it."""
        return self._seconds(lambda: self.model.learn(self.model.n_steps * self.model.n_envs, reset_num_timesteps=False))

    def train_on(self, rollout: Rollout) -> Seconds:
        """One ``train()``."""
        rollout.write_to(self.model.rollout_buffer)
        self.model.policy.load_state_dict(self.first_weights)
        return self._seconds(self.model.train)

    def _seconds(self, work: Callable[[], Any]) -> Seconds:
        self._wait_for_device()
        started = Seconds(time.perf_counter(), time.process_time())
        work()
        self._wait_for_device()
        return Seconds(time.perf_counter() - started.wall, time.process_time() - started.cpu)

    def _wait_for_device(self) -> None:
        if self.model.device.type == "cuda":
            th.cuda.synchronize(self.model.device)


def make_contestants(student: Student, device: str, ppd: Callable[..., Any] | None) -> dict[str, Contestant]:
    settings: dict[str, Any] = {"n_steps": student.n_steps, "batch_size": student.batch_size, "n_epochs": student.n_epochs}
    settings |= {"device": device, "seed": 0}

    def make(algorithm: Callable[..., PPO], **extra: Any) -> PPO:
        return algorithm(student.policy, FreeVecEnv(student.n_envs, student.observation_space), **settings, **extra)

    models: dict[str, Any] = {"PPO": make(PPO)}
    options: dict[str, dict[str, Any]] = {"RPD": {}, "RPD, plain path": {"fast": False}}
    if student.policy == "CnnPolicy":
        options["RPD, bf16"] = {"bf16": True}
    for name, extra in options.items():
        models[name] = make(RPD, teacher=free_teacher, **extra)
    models["obvious RPD"] = make(ObviousRPD, teacher=free_teacher)
    if ppd is not None:
        models["PPD"] = make(ppd)
        models["PPD"].set_teacher(FreeTeacherModel())
    return {name: Contestant(model) for name, model in models.items()}


def report(title: str, turns: dict[str, list[Seconds]], device: str) -> dict[str, Any]:
    """Print the table of one contest and return it."""
    clock = "cpu" if device == "cpu" else "wall"
    print(f"\n{title}; {len(turns['PPO'])} rounds; {clock} time unless it says otherwise")
    print("| | milliseconds | speed, PPO = 1 (quartiles) | RPD is faster by (quartiles) | speed by wall time |")
    print("| :--- | ---: | ---: | ---: | ---: |")
    seconds = {name: [getattr(turn, clock) for turn in own] for name, own in turns.items()}
    wall = {name: [turn.wall for turn in own] for name, own in turns.items()}
    rows = {}
    for name, own in seconds.items():
        row = {
            "seconds": spread(own),
            "speed_over_ppo": spread_of_ratios(seconds["PPO"], own),
            "rpd_speed_over_it": spread_of_ratios(own, seconds["RPD"]),
            "wall_speed_over_ppo": spread_of_ratios(wall["PPO"], wall[name]),
        }
        milliseconds, *ratios = row.values()
        print(f"| {name} | {1000 * milliseconds.median:.1f} | {' | '.join(map(str, ratios))} |", flush=True)
        rows[name] = {key: value.as_json() for key, value in row.items()}
    return rows


def compete(name: str, student: Student, device: str, ppd: Callable[..., Any] | None) -> dict[str, Any]:
    contestants = make_contestants(student, device, ppd)
    settings = {field.name: getattr(student, field.name) for field in dataclasses.fields(student)}
    result: dict[str, Any] = settings | {"observation_space": str(student.observation_space)}
    size = f"{student.n_envs} x {student.n_steps} steps, batch {student.batch_size}, {student.n_epochs} epochs"

    rollout = Rollout(contestants["PPO"].model, FreeVecEnv(student.n_envs, student.observation_space))
    turns = {who: lambda who=who: contestants[who].train_on(rollout) for who in contestants}
    result["train"] = report(f"{name}, train(): {size}", take_turns(turns, student.train_rounds), device)
    if student.loop_rounds:
        loops = {who: contestants[who].iterate for who in contestants}
        result["iteration"] = report(f"{name}, collect and train: {size}", take_turns(loops, student.loop_rounds), device)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ppd", type=Path, metavar="FOLDER", help="a copy of sb3_distill")
    parser.add_argument("--quick", action="store_true", help="a few small minibatches: shows that all of it runs, no figures")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    args = parser.parse_args()
    th.set_num_threads(1)
    # SB3 warns of an MLP on a GPU
    warnings.filterwarnings("ignore", message="You are trying to run PPO on the GPU")

    ppd = load_ppd(args.ppd) if args.ppd else None
    if ppd is None:
        print("Without PPD: name the folder of a copy of sb3_distill with --ppd.")
    students = STUDENTS
    if args.quick:
        students = QUICK
    elif args.device != "cpu":
        students = {
            name: dataclasses.replace(student, train_rounds=GPU_ROUNDS, loop_rounds=GPU_ROUNDS)
            for name, student in STUDENTS.items()
        }
    results = {name: compete(name, students[name], args.device, ppd) for name in args.students}
    write_record(args.json, {"device": args.device, "threads": th.get_num_threads(), "quick": args.quick}, results)


if __name__ == "__main__":
    main()

"""
How fast RPD trains with its imitation term on, beside PPO without it and beside other ways to have that term.

Timed are ``train()`` on a full rollout buffer, the same rollout for everybody and written anew before each run, and a whole
iteration (collect and train) in environments that cost nothing. The teacher costs nothing either, so that only the way of
training counts. The contestants take turns, with one thread for tensors, all but SBX in one process. A turn is the fastest of
three runs in a row. In each round the turns' times are divided by one another, and the median over the rounds is reported with
the quartiles. On a CPU they are CPU times of the whole process, the thread that asks the teacher included, which a busy
machine changes least; on a GPU they are times on the clock.

    python benchmarks/training_speed.py [--students mlp cnn ...] [--device cuda] [--ppd FOLDER] [--sbx PYTHON] [--quick]
                                        [--json FILE]

``--ppd`` names the folder of a copy of https://github.com/spiglerg/sb3_distill, ``--sbx`` the Python of an environment that
has SBX (``make sbx`` makes .venv-sbx/bin/python); without them their rows are left out. SBX trains without the imitation term.
"""

import argparse
import dataclasses
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are imported

import numpy as np
import torch as th
from free_env import FreeVecEnv, free_teacher, free_teacher_for
from measuring import Seconds, fastest, spread, spread_of_ratios, take_turns, write_record
from rivals import SBX, FreeTeacherModel, ObviousRPD, load_ppd
from stable_baselines3 import PPO
from stable_baselines3.common.utils import obs_as_tensor
from students import QUICK, STUDENTS, Student

from sb3_rpd import RPD
from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.teacher_outputs import CheckedOutput

#: On a GPU rounds take milliseconds, collecting included.
GPU_ROUNDS = 25


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
        self.teacher = free_teacher_for(env.action_space)
        self.steps: list[RecordedStep] = []
        observations, dones = env.reset(), np.ones(env.num_envs, dtype=bool)
        for _ in range(model.n_steps):
            with th.no_grad():
                actions, values, log_probs = model.policy(obs_as_tensor(observations, model.device))
            new_observations, rewards, new_dones, _ = env.step(actions.cpu().numpy())
            assert isinstance(new_observations, np.ndarray)
            stored = actions.cpu().numpy().reshape(env.num_envs, -1)
            self.steps.append(RecordedStep(observations, stored, rewards, dones, values, log_probs))
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
                actions = self.teacher(step.observations).reshape(buffer.n_envs, -1)
                labels = CheckedOutput(actions.astype(np.float32))
                buffer.add_labels(np.full_like(envs, index), envs, labels)


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
    teacher = free_teacher_for(student.action_space)

    def make(algorithm: Callable[..., PPO], **extra: Any) -> PPO:
        env = FreeVecEnv(student.n_envs, student.observation_space, student.action_space)
        return algorithm(student.policy, env, device=device, **student.arguments, **extra)

    models: dict[str, Any] = {"PPO": make(PPO)}
    options: dict[str, dict[str, Any]] = {"RPD": {}, "RPD, plain path": {"fast": False}}
    if student.policy == "CnnPolicy":
        options["RPD, bf16"] = {"bf16": True}
    for name, extra in options.items():
        models[name] = make(RPD, teacher=teacher, **extra)
    if student.has_diagonal_gaussian:
        models["obvious RPD"] = make(ObviousRPD, teacher=free_teacher)
        if ppd is not None:
            models["PPD"] = make(ppd)
            models["PPD"].set_teacher(FreeTeacherModel())
    return {name: Contestant(model) for name, model in models.items()}


def contest(title: str, runs: dict[str, Callable[[], Seconds]], rounds: int, device: str) -> dict[str, Any]:
    """Let all take turns, print the table and return it."""
    clock = "cpu" if device == "cpu" else "wall"
    turns = take_turns({who: lambda run=run: fastest(run, clock) for who, run in runs.items()}, rounds)
    print(f"\n{title}; {rounds} rounds; {clock} time unless it says otherwise")
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
        # How long a turn waited for a core: figures are good where this is near 1
        row["wall_over_cpu"] = spread_of_ratios(wall[name], [turn.cpu for turn in turns[name]])
        rows[name] = {key: value.as_json() for key, value in row.items()}
    return rows


def compete(name: str, student: Student, device: str, ppd: Callable[..., Any] | None, sbx: SBX | None) -> dict[str, Any]:
    contestants = make_contestants(student, device, ppd)
    settings = {field.name: getattr(student, field.name) for field in dataclasses.fields(student)}
    spaces = {space: str(settings[space]) for space in ("observation_space", "action_space")}
    result: dict[str, Any] = settings | spaces
    size = f"{student.n_envs} x {student.n_steps} steps, batch {student.batch_size}, {student.n_epochs} epochs"

    env = FreeVecEnv(student.n_envs, student.observation_space, student.action_space)
    rollout = Rollout(contestants["PPO"].model, env)
    turns = {who: lambda who=who: contestants[who].train_on(rollout) for who in contestants}
    loops = {who: contestant.iterate for who, contestant in contestants.items()}
    if sbx is not None:
        turns["SBX"], loops["SBX"] = sbx.train, sbx.iterate
    result["train"] = contest(f"{name}, train(): {size}", turns, student.train_rounds, device)
    if student.loop_rounds:
        result["iteration"] = contest(f"{name}, collect and train: {size}", loops, student.loop_rounds, device)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--ppd", type=Path, metavar="FOLDER", help="a copy of sb3_distill")
    parser.add_argument("--sbx", type=Path, metavar="PYTHON", help="the Python of an environment that has SBX")
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
    results = {}
    for name in args.students:
        # It has no gSDE, and says nothing
        has_sbx = args.sbx is not None and not students[name].options
        sbx = SBX(args.sbx, name, quick=args.quick) if has_sbx else None
        results[name] = compete(name, students[name], args.device, ppd, sbx)
        if sbx is not None:
            sbx.close()
    write_record(args.json, {"device": args.device, "threads": th.get_num_threads(), "quick": args.quick}, results)


if __name__ == "__main__":
    main()

"""
A task that needs a memory: the target is shown at the first step only. RecurrentRPD against RPD, and against RecurrentPPO.

    python examples/remembered_target.py [--seeds 0 1 2] [--timesteps 20000] [--output runs/remembered_target]
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

from sb3_rpd import RPD, RecurrentRPD, TeacherActionWrapper
from sb3_rpd.teachers import DegradedTeacher

SETTINGS: dict[str, Any] = {"n_steps": 64, "batch_size": 256, "gamma": 0.95, "learning_rate": 2e-3, "device": "cpu"}


class RememberedTarget(gym.Env):
    """
    A point in a square of side 2 is to come within 0.15 of a target, in 20 steps of at most 0.2. An observation is the point's
    position, the target's, and whether that is shown: it is at the first step, and from then on it is given as (0, 0).
    """

    observation_space = gym.spaces.Box(-1.0, 1.0, (5,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position, self.target = self.np_random.uniform(-1.0, 1.0, (2, 2))
        self.steps = 0
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.position = np.clip(self.position + 0.2 * action, -1.0, 1.0)
        self.steps += 1
        distance = float(np.linalg.norm(self.target - self.position))
        is_success = distance < 0.15
        reward = 1.0 if is_success else -0.1 * distance
        return self._observation(), reward, is_success, self.steps == 20, {"is_success": is_success}

    def _observation(self) -> np.ndarray:
        shown = float(self.steps == 0)
        return np.array([*self.position, *(shown * self.target), shown], dtype=np.float32)


def way_to_target(env: gym.Env) -> np.ndarray:
    """:return: What the teacher sees, at each step: from the point to the target."""
    return env.unwrapped.target - env.unwrapped.position


def make_env(seed: int, n_envs: int = 16) -> VecEnv:
    """:return: Environments that go on showing the teacher what the student has to remember."""
    return make_vec_env(
        lambda: TeacherActionWrapper(RememberedTarget(), observation={"way": way_to_target}), n_envs=n_envs, seed=seed
    )


def make_teacher() -> DegradedTeacher:
    """It goes straight to the target, with a lot of noise, and with plain nonsense in 30% of the states."""
    return DegradedTeacher(lambda offered: np.clip(5.0 * offered["way"], -1.0, 1.0), noise_std=0.5, wrong_fraction=0.3)


def make_recurrent_rpd(seed: int, **kwargs: Any) -> RecurrentRPD:
    arguments = {"teacher": make_teacher(), "policy_kwargs": {"lstm_hidden_size": 64}, **SETTINGS, **kwargs}
    return RecurrentRPD("MlpLstmPolicy", make_env(seed), seed=seed, **arguments)


def make_recurrent_ppo(seed: int) -> RecurrentRPD:
    # Without a teacher it is RecurrentPPO, here on the fast path
    return make_recurrent_rpd(seed, teacher=None, imitation_coef=0.0, fast=True)


def make_rpd(seed: int) -> RPD:
    return RPD("MlpPolicy", make_env(seed), teacher=make_teacher(), seed=seed, **SETTINGS)


def make_stacked_rpd(seed: int) -> RPD:
    return RPD("MlpPolicy", VecFrameStack(make_env(seed), 4), teacher=make_teacher(), seed=seed, **SETTINGS)


STUDENTS: dict[str, Callable[[int], Any]] = {
    "RecurrentRPD": make_recurrent_rpd,
    "RecurrentPPO": make_recurrent_ppo,
    "RPD, 4 frames": make_stacked_rpd,
    "RPD": make_rpd,
}


class SuccessCurve(BaseCallback):
    """After each rollout: the environment steps so far, and how many of the last 100 episodes succeeded."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.points.append((self.num_timesteps, float(np.mean(self.model.ep_success_buffer))))


def evaluate(model: Any) -> float:
    """:return: The deterministic student's success over 200 held-out episodes."""
    env = make_env(seed=1000)
    if isinstance(model.env, VecFrameStack):
        env = VecFrameStack(env, 4)
    successes: list[bool] = []

    def note(of_step: dict[str, Any], _: dict[str, Any]) -> None:
        if of_step["done"]:
            successes.append(of_step["info"]["is_success"])

    evaluate_policy(model, env, n_eval_episodes=200, callback=note)
    return float(np.mean(successes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one student of each kind for each seed")
    parser.add_argument("--timesteps", type=int, default=20_000, help="environment steps for each student")
    parser.add_argument("--students", nargs="+", default=list(STUDENTS), choices=list(STUDENTS), metavar="NAME", help="which")
    parser.add_argument("--output", type=Path, default=Path("runs/remembered_target"), help="where results.json is written")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    th.set_num_threads(1)  # for networks of this size more threads are slower

    results: dict[str, list[dict[str, Any]]] = {}
    for name in args.students:
        for seed in args.seeds:
            curve = SuccessCurve()
            model = STUDENTS[name](seed).learn(args.timesteps, callback=curve, log_interval=1000)
            results.setdefault(name, []).append({"seed": seed, "success": evaluate(model), "curve": curve.points})
            (args.output / "results.json").write_text(json.dumps(results), encoding="utf-8")
        successes = [run["success"] for run in results[name]]
        print(f"{name:14s} success {median(successes):4.0%}, seeds {', '.join(f'{one:.0%}' for one in successes)}", flush=True)


if __name__ == "__main__":
    main()

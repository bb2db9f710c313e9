"""
A student learns to swing up a pendulum from a bad teacher: RPD against PPO in half a minute, no simulator to install.

    python examples/quickstart.py [--timesteps 20000] [--output runs/quickstart]
"""

import argparse
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd import RPD
from sb3_rpd.teachers import DegradedTeacher, FunctionTeacher

SETTINGS = {"n_steps": 256, "batch_size": 128, "gamma": 0.9, "learning_rate": 1e-3, "seed": 0, "device": "cpu"}


def swing_up(observations: np.ndarray) -> np.ndarray:
    """
    A controller, as a function of a batch of states: it pumps energy into the pendulum, and near the top it balances.

    :param observations: Cosine and sine of the angle (0 is up) and angular velocity, of shape (n, 3).
    :return: Torques in [-2, 2], of shape (n, 1).
    """
    cosine, sine, velocity = observations.T
    angle = np.arctan2(sine, cosine)
    missing_energy = 15.0 * (1.0 - cosine) - velocity**2 / 2.0
    torque = np.where(np.abs(angle) < 0.4, -8.0 * angle - 1.5 * velocity, np.sign(velocity * missing_energy))
    return np.clip(torque, -2.0, 2.0)[:, np.newaxis]


def make_teacher() -> DegradedTeacher:
    """The controller with noise, and with plain nonsense in 30% of the states."""
    return DegradedTeacher(FunctionTeacher(swing_up), noise_std=0.5, wrong_fraction=0.3)


class TeacherAlone:
    """Lets the teacher act by itself, in the form in which ``evaluate_policy`` asks a model."""

    def __init__(self, env: VecEnv) -> None:
        self.teacher = make_teacher()
        self.teacher.setup(env.action_space)

    def predict(self, observation, state=None, episode_start=None, deterministic=True):
        return self.teacher.predict(observation), state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=20_000, help="environment steps for each student")
    parser.add_argument("--output", type=Path, default=Path("runs/quickstart"), help="where the student is saved")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    th.set_num_threads(1)  # for networks of this size more threads are slower

    env = make_vec_env("Pendulum-v1", n_envs=8, seed=0)
    student = RPD("MlpPolicy", env, teacher=make_teacher(), **SETTINGS).learn(args.timesteps)
    student.save(args.output / "student")

    plain = PPO("MlpPolicy", env, **SETTINGS).learn(args.timesteps)
    loaded = PPO.load(args.output / "student", device="cpu")  # a student is a PPO model: sb3_rpd is not needed to use it

    test_env = make_vec_env("Pendulum-v1", n_envs=8)
    for name, model in {"teacher": TeacherAlone(test_env), "PPO": plain, "RPD": loaded}.items():
        test_env.seed(1000)
        mean, std = evaluate_policy(model, test_env, n_eval_episodes=40)
        print(f"{name:8s} mean return {mean:8.1f}, standard deviation {std:6.1f} over 40 episodes")


if __name__ == "__main__":
    main()

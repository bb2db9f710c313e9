"""
A teacher that sees what its student does not: CartPole with the velocities hidden from the student.

The student gets two numbers of the four, stacked over four steps and normalized; the teacher reads the whole state,
below all of that. The coefficient of the imitation loss is a schedule of our own.

    python examples/teacher_view.py [--timesteps 20000]
"""

import argparse
from dataclasses import dataclass

import gymnasium as gym
import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack, VecNormalize

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.common.schedules import CoefSchedule, TrainingProgress


class HiddenVelocities(gym.ObservationWrapper):
    """Shows the position of the cart and the angle of the pole only."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return observation[[0, 2]]


def full_state(env: gym.Env) -> np.ndarray:
    """What the teacher sees of one environment: position, velocity, angle, angular velocity."""
    return np.array(env.unwrapped.state)


def teacher(observations: dict[str, np.ndarray]) -> np.ndarray:
    """Pushes towards the side to which the pole is falling; a batch of states in, a batch of actions (0 or 1) out."""
    _, _, angle, angular_velocity = observations["state"].T
    return (angle + 0.5 * angular_velocity > 0).astype(int)


@dataclass
class UntilReturn(CoefSchedule):
    """Imitate until the student's mean return reaches ``enough``, less and less on the way."""

    enough: float

    def __call__(self, training: TrainingProgress) -> float:
        return max(1.0 - (training.mean_return or 0.0) / self.enough, 0.0)


def make_env(n_envs: int, seed: int) -> VecEnv:
    def wrap(env: gym.Env) -> gym.Env:
        return HiddenVelocities(TeacherActionWrapper(env, observation={"state": full_state}))

    return VecFrameStack(make_vec_env("CartPole-v1", n_envs, seed=seed, wrapper_class=wrap), n_stack=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=20_000, help="environment steps to train for")
    args = parser.parse_args()
    th.set_num_threads(1)  # for networks of this size more threads are slower

    env = VecNormalize(make_env(n_envs=8, seed=0))
    student = RPD(
        "MlpPolicy", env, n_steps=128, batch_size=128, seed=0, device="cpu", teacher=teacher, imitation_coef=UntilReturn(400.0)
    )
    student.learn(args.timesteps)

    test_env = VecNormalize(make_env(n_envs=8, seed=1000), training=False, norm_reward=False)
    test_env.obs_rms = env.obs_rms
    mean, std = evaluate_policy(student, test_env, n_eval_episodes=40)
    print(f"student: mean return {mean:.1f}, standard deviation {std:.1f} over 40 episodes (at most 500)")


if __name__ == "__main__":
    main()

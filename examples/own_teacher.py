"""
A teacher of one's own as a class: it knows its action space, gives a distribution, says when it does not know.

A car has to climb a hill that is too steep for its engine. The teacher knows the trick (swing up, always push the way the car
is rolling), and nothing of how little force would do; a reward for getting there, less the force that was used, says the rest.

    python examples/own_teacher.py [--timesteps 20000] [--process]
"""

import argparse
from collections.abc import Sequence

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_rpd import RPD, TeacherError
from sb3_rpd.teachers import ProcessTeacher, Teacher, TeacherOutput


class Swing(Teacher):
    """
    Pushes a car the way it is rolling. It has no opinion about a car that stands still.

    :param percent: How hard it pushes, in percent of the engine's force.
    :param spread: Its standard deviation, in percent as well.
    """

    gives_distribution = True

    def __init__(self, percent: float = 100.0, spread: float = 25.0) -> None:
        self.percent = percent
        self.spread = spread

    def setup(self, action_space: spaces.Space) -> None:
        # once, before the first question: load what is large here, and refuse what cannot go well
        if not isinstance(action_space, spaces.Box) or action_space.shape != (1,):
            raise TeacherError(f"Swing gives one number, the force; the environment takes {action_space}.")
        self._full_force = float(action_space.high[0])

    def predict(self, observations: np.ndarray, instructions: Sequence[str] | None = None) -> TeacherOutput:
        # a batch: row i is any state of any environment, not the one after row i - 1
        _, velocity = observations.T
        direction = np.where(np.abs(velocity) < 1e-3, np.nan, np.sign(velocity))
        # from the teacher's units to the environment's
        actions = direction[:, np.newaxis] * self.percent / 100 * self._full_force
        return TeacherOutput(actions, std=np.full(actions.shape, self.spread / 100 * self._full_force))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=20_000, help="environment steps to train for")
    parser.add_argument("--process", action="store_true", help="run the teacher in a process of its own")
    args = parser.parse_args()
    th.set_num_threads(1)  # for networks of this size more threads are slower

    # a process makes its teacher itself, so it is given what makes one: here the class
    teacher = ProcessTeacher(Swing) if args.process else Swing()
    env = make_vec_env("MountainCarContinuous-v0", n_envs=8, seed=0)
    student = RPD("MlpPolicy", env, n_steps=256, batch_size=128, seed=0, device="cpu", teacher=teacher, imitation_loss="kl")
    student.learn(args.timesteps)
    teacher.close()
    labeled = np.isfinite(student.rollout_buffer.teacher_actions).mean()

    mean, std = evaluate_policy(student, make_vec_env("MountainCarContinuous-v0", n_envs=8, seed=1000), n_eval_episodes=40)
    print(f"{labeled:.0%} of the last rollout's states have a label")
    print(f"student: mean return {mean:.1f}, standard deviation {std:.1f} over 40 episodes (above 90: solved)")


if __name__ == "__main__":
    main()

"""
A teacher in a process of its own: `sb3-rpd serve` serves a controller, RPD asks it over the loopback address.

In the same way a VLA runs in another environment, on another GPU or machine, and the student's process stays free of it.

    python examples/remote_teacher.py [--timesteps 8192]
"""

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch as th
from stable_baselines3.common.env_util import make_vec_env

from sb3_rpd import RPD
from sb3_rpd.teachers import FunctionTeacher, OpenPITeacher


def swing_up(observations: np.ndarray) -> np.ndarray:
    """Torques for a batch of pendulums: pump energy in, and balance near the top."""
    cosine, sine, velocity = observations.T
    angle = np.arctan2(sine, cosine)
    missing_energy = 15.0 * (1.0 - cosine) - velocity**2 / 2.0
    torque = np.where(np.abs(angle) < 0.4, -8.0 * angle - 1.5 * velocity, np.sign(velocity * missing_energy))
    return np.clip(torque, -2.0, 2.0)[:, np.newaxis]


def make_teacher() -> FunctionTeacher:
    """What the server's process calls: "remote_teacher:make_teacher"."""
    return FunctionTeacher(swing_up)


@contextmanager
def served_teacher() -> Iterator[str]:
    """Run `sb3-rpd serve` at a free port, yield its address, and end it."""
    command = [sys.executable, "-m", "sb3_rpd.cli", "serve", "remote_teacher:make_teacher", "--port", "0"]
    # the module is found in the server's current folder
    with subprocess.Popen(command, cwd=Path(__file__).parent, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline().strip()  # "Serving remote_teacher:make_teacher at ws://127.0.0.1:43210"
            print(line)
            yield line.split(" at ")[1]
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--timesteps", type=int, default=8192, help="environment steps to train for")
    args = parser.parse_args()
    th.set_num_threads(1)  # for networks of this size more threads are slower

    env = make_vec_env("Pendulum-v1", n_envs=8, seed=0)
    with served_teacher() as url:
        teacher = OpenPITeacher(url)
        student = RPD("MlpPolicy", env, teacher=teacher, n_steps=256, batch_size=128, gamma=0.9, seed=0, device="cpu")
        student.learn(args.timesteps)

        # training has put the steps of each environment one after the other
        observations = student.rollout_buffer.observations
        labels = student.rollout_buffer.teacher_actions.swapaxes(0, 1).reshape(-1, 1)
        direct = swing_up(observations).astype(np.float32)
        equal = np.sum(labels == direct)
        print(f"{len(labels)} labels of the last rollout, {equal} of them equal to the controller's own action")
        teacher.close()


if __name__ == "__main__":
    main()

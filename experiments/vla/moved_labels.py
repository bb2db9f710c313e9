"""
What moving the camera does to the VLA's labels: its answers to the same states by its own and by moved cameras, as a table.

    python -m experiments.vla.moved_labels
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch as th

from experiments.vla.evaluation import EVALUATION_SEED, KEPT, UNNORM_KEY
from experiments.vla.tasks import TASKS, make_env, moved_camera
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, ask_teacher
from sb3_rpd.envs import human_frame
from sb3_rpd.teachers import OpenVLATeacher

#: In meters; the first is the VLA's own camera.
DISTANCES = (0.0, 0.03, 0.06, 0.10, 0.16)

#: Standard deviation of the noise on the actions, which leads off the VLA's own way as an exploring student's does.
NOISE = 0.15

DIMENSIONS = ("x", "y", "z", "rotation about x", "about y", "about z", "gripper")


def labels_by_camera(teacher: Teacher, distances: Sequence[float], n_states: int) -> np.ndarray:
    """
    Let a teacher act by the first camera, with noise, and ask it by each one in each state.

    :param teacher: The VLA.
    :param distances: How far each camera is moved, in meters.
    :param n_states: In how many states, of as many episodes as that takes.
    :return: Labels, shape (len(distances), n_states, action_dim).
    """
    envs = [make_env("lift", camera=moved_camera(distance)) for distance in distances]
    teacher.setup(envs[0].action_space)
    instructions = [TASKS["lift"].instruction] * len(envs)
    generator = np.random.default_rng(0)
    labels: list[np.ndarray] = []
    seed: int | None = EVALUATION_SEED
    ended = True
    while len(labels) < n_states:
        if ended:
            for env in envs:
                env.reset(seed=seed)
            seed = None
        frames = np.stack([human_frame(env) for env in envs])
        labels.append(ask_teacher(teacher, Questions({"frame": frames}, instructions)).actions)
        noise = generator.normal(0.0, NOISE, labels[-1][0].shape)
        action = np.clip(labels[-1][0] + noise, -1.0, 1.0).astype(np.float32)
        (_, _, terminated, truncated, _), *_ = [env.step(action) for env in envs]
        ended = terminated or truncated
    for env in envs:
        env.close()
    return np.stack(labels, axis=1)


def compare(own: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    :param own: Labels by the VLA's own camera, shape (n_states, action_dim).
    :param moved: Those by another one in the same states.
    :return: By how much the latter are too large on average, and the correlation of the two; each of shape (action_dim,).
    """
    correlation = [np.corrcoef(*columns)[0, 1] for columns in zip(own.T, moved.T, strict=True)]
    return (moved - own).mean(axis=0), np.array(correlation)


def main(arguments: Sequence[str] | None = None) -> None:
    """:param arguments: The command line; None for the process's own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vla", type=Path, default=KEPT / "good", help="the VLA, as make vla writes it")
    parser.add_argument("--states", type=int, default=1_000, help="in how many states it is asked")
    options = parser.parse_args(arguments)
    th.set_num_threads(1)
    teacher = OpenVLATeacher(options.vla, UNNORM_KEY, device="cpu", decode="mean")
    own, *others = labels_by_camera(teacher, DISTANCES, options.states)
    print(f"| camera moved by | {' | '.join(DIMENSIONS)} |\n{'| --- ' * (len(DIMENSIONS) + 1)}|")
    for distance, moved in zip(DISTANCES[1:], others, strict=True):
        cells = (f"{offset:+.2f} ({correlation:.1f})" for offset, correlation in zip(*compare(own, moved), strict=True))
        print(f"| {100 * distance:.0f} cm | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

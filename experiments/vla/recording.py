"""
Demonstrations for the VLA: a controller's labels in states that noise, fumbling fingers and a jumping cube lead to, by a
camera that is somewhat elsewhere in each episode.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym

from experiments.vla.tasks import TASKS, make_env
from sb3_rpd.demonstrations import ActionNoise, MoreNearCube, Recording, record
from sb3_rpd.envs import CameraMoveWrapper, CubeJumpWrapper, human_frame, privileged_state

#: What leads astray. The hand's orientation matters less than its position, and fingers do nothing but fumble.
NOISE = ActionNoise(levels=(0.0, 0.3, 0.6, 1.0, 0.6), weights=(1, 1, 1, 0.5, 0.5, 0.5, 0), gripper_flips=0.08)

#: By how much the camera is moved, in meters. A network that has seen only one place of it takes each pixel for granted: moved
#: by 3 cm it is blind.
CAMERA_MOVES = 0.05


def make_recording_env(task: str) -> gym.Env[Any, Any]:
    """
    :param task: One of ``TASKS``.
    :return: The scene in which it is recorded.
    """
    return CameraMoveWrapper(CubeJumpWrapper(make_env(task, offered={"privileged": privileged_state})), CAMERA_MOVES)


def record_demonstrations(folder: Path, episodes: Mapping[str, int], show: Callable[[str], None]) -> None:
    """
    Record all tasks into one data set, or go on with it.

    :param folder: The data set.
    :param episodes: How many of each task.
    :param show: Called with lines of progress.
    """
    for name, count in episodes.items():

        def report(recording: Recording, name: str = name) -> None:
            if recording.episodes % 20 == 0 or recording.episodes == recording.wanted:
                show(
                    f"{name}: {recording.episodes} of {recording.wanted} episodes, {recording.frames} frames, "
                    f"{recording.successes} successes in spite of the noise"
                )

        env = make_recording_env(name)
        record(
            env,
            folder,
            teacher=TASKS[name].teacher,
            episodes=count,
            observation={"human": human_frame, "state": privileged_state},
            noise=NOISE,
            keep=MoreNearCube(),
            progress=report,
        )
        env.close()

"""
Demonstrations for the VLA: what a controller or a student would do in states that noise, fumbling fingers and a jumping cube
lead to, by a camera that is somewhat elsewhere in each episode.
"""

from collections.abc import Callable
from pathlib import Path

from experiments.vla.tasks import make_env
from sb3_rpd.demonstrations import ActionNoise, MoreNearCube, Recording, record
from sb3_rpd.envs import CameraMoveWrapper, CubeJumpWrapper, human_frame, privileged_state
from sb3_rpd.evaluation import Student
from sb3_rpd.teachers import Teacher

# The hand's orientation matters less than its position, and fingers do nothing but fumble
_NOISE = ActionNoise(levels=(0.0, 0.3, 0.6, 1.0, 0.6), weights=(1, 1, 1, 0.5, 0.5, 0.5, 0), gripper_flips=0.08)

# In meters. A network that has seen only one place of its camera takes each pixel for granted
_CAMERA_MOVES = 0.05


def record_task(
    folder: Path,
    task: str,
    actor: Teacher | Student,
    episodes: int,
    show: Callable[[str], None],
    *,
    successes_only: bool = False,
) -> None:
    """
    Record a task, or go on with it.

    :param folder: The data set.
    :param task: One of ``TASKS``.
    :param actor: Who says what to do: noise acts, what it would do is the label.
    :param episodes: How many.
    :param show: Called with lines of progress.
    :param successes_only: Whether episodes without success are played again.
    """

    def report(recording: Recording) -> None:
        if recording.episodes % 20 == 0 or recording.episodes == recording.wanted:
            show(
                f"{task}: {recording.episodes} of {recording.wanted} episodes, {recording.frames} frames, "
                f"{recording.successes} successes in spite of the noise"
            )

    scene = CubeJumpWrapper(make_env(task, offered={"privileged": privileged_state}))
    env = CameraMoveWrapper(scene, _CAMERA_MOVES)
    record(
        env,
        folder,
        teacher=actor,
        episodes=episodes,
        observation={"human": human_frame, "state": privileged_state},
        noise=_NOISE,
        keep=MoreNearCube(),
        successes_only=successes_only,
        progress=report,
    )
    env.close()

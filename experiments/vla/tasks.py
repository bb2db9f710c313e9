"""What the VLA learns: two tasks in one scene, told apart by the instruction alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wrappers import ObservationSource
from sb3_rpd.envs import CameraView, human_frame, make_maniskill2_env, privileged_state, task_instruction
from sb3_rpd.envs.cube_state import CubeState
from sb3_rpd.teachers import ScriptedTeacher, Teacher
from sb3_rpd.teachers.maniskill2 import blend, delta_pose, funnel, ramp, toward

SCENE = "LiftCube-v0"
IMAGE_SIZE = 224
MAX_STEPS = 100

# a push begins so far behind the cube and is over there, in metres along the axis that points away from the robot
_BEHIND, _PUSHED, _STOP = 0.06, 0.13, 0.16

# where ManiSkill2 has the human camera of its tabletop tasks, what it looks at, and which way it is moved
_CAMERA, _LOOKS_AT, _WAY = np.array([0.4, 0.4, 0.8]), (0.0, 0.0, 0.4), np.array([0.07, -0.13, 0.07])


def moved_camera(distance: float) -> CameraView:
    """
    :param distance: How far, in meters.
    :return: The human camera, moved by that, looking at the same point.
    """
    x, y, z = (_CAMERA + distance * _WAY / np.linalg.norm(_WAY)).tolist()
    return CameraView("human", position=(x, y, z), target=_LOOKS_AT)


class PushTeacher(Teacher):
    """
    Closes the fingers, comes down between the robot and the cube, and pushes: a function of the present state alone, and
    continuous in it, as the package's own scripted teachers are. It reads the observation "privileged".
    """

    def __repr__(self) -> str:
        return "PushTeacher()"

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        assert isinstance(observations, dict)
        cube = CubeState.unpack(observations["privileged"].astype(np.float64))
        offset = cube.cube_position - cube.tcp_position
        to_start = offset - np.array([_BEHIND, 0.0, 0.0])
        approach = toward(to_start, funnel(np.linalg.norm(to_start[:, :2], axis=1)))
        aligned = 1 - ramp(np.abs(offset[:, 1]), 0.01, 0.02)
        behind = ramp(offset[:, 0], 0.012, 0.022) * ramp(offset[:, 2], -0.03, -0.015)
        push = np.column_stack([np.full(len(offset), _BEHIND), offset[:, 1:]])
        going_on = 1 - ramp(cube.cube_position[:, 0], _PUSHED + 0.01, _STOP)
        move = blend(approach, push, aligned * behind) * going_on[:, np.newaxis]
        return delta_pose(cube, move, np.ones(len(move)))


def _lifted(_: CubeState, info: dict[str, Any]) -> bool:
    return bool(info["is_success"])


def _pushed(state: CubeState, _: dict[str, Any]) -> bool:
    return bool(state.cube_position[0] > _PUSHED)


@dataclass(frozen=True)
class Task:
    """
    One task in the scene.

    :param instruction: What the robot is told.
    :param teacher: Who does it.
    :param solved: Whether it is done, of the state and of what the environment says of lifting.
    """

    instruction: str
    teacher: Teacher
    solved: Callable[[CubeState, dict[str, Any]], bool]


TASKS = {
    "lift": Task("lift up the cube", ScriptedTeacher(SCENE), _lifted),
    "push": Task("push the cube away", PushTeacher(), _pushed),
}


class _OtherGoal(gym.Wrapper[Any, Any, Any, Any]):
    """The scene with another end of the episode."""

    def __init__(self, env: gym.Env[Any, Any], task: Task) -> None:
        super().__init__(env)
        self._task = task

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, _, _, truncated, info = self.env.step(action)
        solved = self._task.solved(CubeState.unpack(privileged_state(self.env)), info)
        return observation, float(solved), solved, truncated, info | {"is_success": solved}


def make_env(
    task: str,
    *,
    camera: CameraView | None = None,
    instruction: str | None = None,
    offered: Mapping[str, ObservationSource] | None = None,
) -> gym.Env[Any, Any]:
    """
    The scene, ending when a task is solved.

    :param task: One of ``TASKS``.
    :param camera: Another camera than the human one.
    :param instruction: Another instruction than the task's.
    :param offered: What a teacher sees; None for the camera's frame.
    :return: The environment. What a student would see is the state.
    """
    env = make_maniskill2_env(
        SCENE,
        "state",
        camera=camera or CameraView("human"),
        image_size=IMAGE_SIZE,
        reward="sparse",
        max_episode_steps=MAX_STEPS,
        render_mode="rgb_array",
        instruction=instruction or TASKS[task].instruction,
        wrap=lambda bare: _OtherGoal(bare, TASKS[task]),
    )
    return TeacherActionWrapper(env, observation=offered or {"frame": human_frame}, instruction=task_instruction)

"""What a teacher may be shown: ready-made observation sources and the instruction, for ``TeacherActionWrapper``."""

from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.envs.maniskill2.privileged import cube_state, robot_state
from sb3_rpd.envs.maniskill3.env import ManiSkill3Env
from sb3_rpd.envs.maniskill3.privileged import cube_states, robot_states


def human_frame(env: gym.Env[Any, Any]) -> np.ndarray:
    """
    The frame of the "human" camera, which the paper's teachers were trained on. It is the student's own where that looks
    through the same camera, and not rendered again.

    :param env: An environment from ``make_maniskill2_env`` or ``make_maniskill3_env`` with images: ``obs`` other than "state",
        or ``render_mode``.
    :return: uint8 array of shape (height, width, 3).
    """
    frame = env.render()
    assert isinstance(frame, np.ndarray)
    return frame


def camera_frame(env: gym.Env[Any, Any]) -> np.ndarray:
    """
    The present image of the camera that the environment was made with, where the student observes the state, too.

    :param env: As for ``human_frame``.
    :return: uint8 array of shape (height, width, 3).
    """
    return np.asarray(env.get_wrapper_attr("camera_frame")())


def proprioception(env: gym.Env[Any, Any]) -> np.ndarray:
    """
    What the robot knows of itself, the same in each task.

    :param env: An environment of ManiSkill2 or ManiSkill3 with the Panda robot.
    :return: float32 array of shape (25,): positions of the seven joints (rad) and two fingers (m), their velocities,
        position (m) and orientation (quaternion w, x, y, z) of the point between the finger tips in the world frame.
    """
    bare = env.unwrapped
    return bare.read(robot_states) if isinstance(bare, ManiSkill3Env) else robot_state(bare)


def privileged_state(env: gym.Env[Any, Any]) -> np.ndarray:
    """
    The state of a cube task for a scripted teacher; ``CubeState.unpack`` reads it.

    :param env: LiftCube-v0, PickCube-v0 or StackCube-v0 of ManiSkill2, PickCube-v1 or StackCube-v1 of ManiSkill3, wrapped or
        not.
    :return: float32 array of shape (``CUBE_STATE_SIZE``,).
    :raises ValueError: if the environment is of another task.
    """
    bare = env.unwrapped
    return bare.read(cube_states) if isinstance(bare, ManiSkill3Env) else cube_state(bare)


def task_instruction(env: gym.Env[Any, Any]) -> str:
    """
    What the task's environment was told to tell its teacher; for the ``instruction`` of ``TeacherActionWrapper``.

    :param env: An environment from ``make_maniskill2_env`` or ``make_maniskill3_env``.
    :return: The paper's instruction for the task, or the one given when the environment was made.
    :raises ValueError: if there is none.
    """
    instruction = env.get_wrapper_attr("instruction")
    if instruction is None:
        raise ValueError('this task has no instruction of its own: make the environment with instruction="..."')
    return str(instruction)

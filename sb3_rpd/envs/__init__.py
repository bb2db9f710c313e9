"""Environments, ready for Stable-Baselines3."""

from sb3_rpd.envs.cameras import CameraView
from sb3_rpd.envs.cube_state import CubeState
from sb3_rpd.envs.maniskill2 import (
    ASSET_FREE_TASKS,
    INSTRUCTIONS,
    CameraMoveWrapper,
    CubeJumpWrapper,
    make_maniskill2_env,
    make_maniskill2_vec_env,
)
from sb3_rpd.envs.maniskill3 import PAPER_TASKS, make_maniskill3_env, make_maniskill3_vec_env
from sb3_rpd.envs.metaworld import make_metaworld_env, make_metaworld_vec_env
from sb3_rpd.envs.sources import camera_frame, human_frame, privileged_state, proprioception, task_instruction
from sb3_rpd.envs.step_cost import StepCostWrapper
from sb3_rpd.envs.vulkan import RenderingUnavailableError

__all__ = [
    "ASSET_FREE_TASKS",
    "INSTRUCTIONS",
    "PAPER_TASKS",
    "CameraMoveWrapper",
    "CameraView",
    "CubeJumpWrapper",
    "CubeState",
    "RenderingUnavailableError",
    "StepCostWrapper",
    "camera_frame",
    "human_frame",
    "make_maniskill2_env",
    "make_maniskill2_vec_env",
    "make_maniskill3_env",
    "make_maniskill3_vec_env",
    "make_metaworld_env",
    "make_metaworld_vec_env",
    "privileged_state",
    "proprioception",
    "task_instruction",
]

"""Environments, ready for Stable-Baselines3."""

from sb3_rpd.envs.maniskill2 import (
    ASSET_FREE_TASKS,
    INSTRUCTIONS,
    CameraView,
    CubeJumpWrapper,
    CubeState,
    RenderingUnavailableError,
    camera_frame,
    human_frame,
    make_maniskill2_env,
    make_maniskill2_vec_env,
    privileged_state,
    proprioception,
    task_instruction,
)
from sb3_rpd.envs.metaworld import make_metaworld_env, make_metaworld_vec_env
from sb3_rpd.envs.step_cost import StepCostWrapper

__all__ = [
    "ASSET_FREE_TASKS",
    "INSTRUCTIONS",
    "CameraView",
    "CubeJumpWrapper",
    "CubeState",
    "RenderingUnavailableError",
    "StepCostWrapper",
    "camera_frame",
    "human_frame",
    "make_maniskill2_env",
    "make_maniskill2_vec_env",
    "make_metaworld_env",
    "make_metaworld_vec_env",
    "privileged_state",
    "proprioception",
    "task_instruction",
]

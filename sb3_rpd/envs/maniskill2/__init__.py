"""ManiSkill2, ready for Stable-Baselines3."""

from sb3_rpd.envs.maniskill2.cameras import CameraView
from sb3_rpd.envs.maniskill2.cube_jump import CubeJumpWrapper
from sb3_rpd.envs.maniskill2.installation import RenderingUnavailableError
from sb3_rpd.envs.maniskill2.make import make_maniskill2_env, make_maniskill2_vec_env
from sb3_rpd.envs.maniskill2.privileged import CubeState, privileged_state
from sb3_rpd.envs.maniskill2.sources import camera_frame, human_frame, proprioception, task_instruction
from sb3_rpd.envs.maniskill2.tasks import ASSET_FREE_TASKS, INSTRUCTIONS

__all__ = [
    "ASSET_FREE_TASKS",
    "INSTRUCTIONS",
    "CameraView",
    "CubeJumpWrapper",
    "CubeState",
    "RenderingUnavailableError",
    "camera_frame",
    "human_frame",
    "make_maniskill2_env",
    "make_maniskill2_vec_env",
    "privileged_state",
    "proprioception",
    "task_instruction",
]

"""ManiSkill2, ready for Stable-Baselines3."""

from sb3_rpd.envs.maniskill2.camera_move import CameraMoveWrapper
from sb3_rpd.envs.maniskill2.cube_jump import CubeJumpWrapper
from sb3_rpd.envs.maniskill2.make import make_maniskill2_env, make_maniskill2_vec_env
from sb3_rpd.envs.maniskill2.tasks import ASSET_FREE_TASKS, INSTRUCTIONS

__all__ = [
    "ASSET_FREE_TASKS",
    "INSTRUCTIONS",
    "CameraMoveWrapper",
    "CubeJumpWrapper",
    "make_maniskill2_env",
    "make_maniskill2_vec_env",
]

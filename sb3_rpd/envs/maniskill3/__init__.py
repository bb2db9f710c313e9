"""ManiSkill3, ready for Stable-Baselines3."""

from sb3_rpd.envs.maniskill3.make import make_maniskill3_env, make_maniskill3_vec_env
from sb3_rpd.envs.maniskill3.tasks import INSTRUCTIONS, PAPER_TASKS

__all__ = ["INSTRUCTIONS", "PAPER_TASKS", "make_maniskill3_env", "make_maniskill3_vec_env"]

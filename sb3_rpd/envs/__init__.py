"""ManiSkill2 environments, ready for Stable-Baselines3."""

from sb3_rpd.envs.maniskill2 import make_maniskill2_env

__all__ = ["make_maniskill2_env"]

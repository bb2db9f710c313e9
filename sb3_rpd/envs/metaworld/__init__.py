"""Meta-World, ready for Stable-Baselines3."""

from sb3_rpd.envs.metaworld.make import make_metaworld_env, make_metaworld_vec_env

__all__ = ["make_metaworld_env", "make_metaworld_vec_env"]

"""Makes ManiSkill2 environments for Stable-Baselines3."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym

from sb3_rpd.envs.maniskill2_wrappers import ManiSkill2Wrapper
from sb3_rpd.envs.physics_only import physics_only
from sb3_rpd.envs.tasks import INSTRUCTIONS

_REWARD_MODES = {"dense": "normalized_dense", "sparse": "sparse"}


def make_maniskill2_env(
    task: str,
    obs: str = "state",
    *,
    control_mode: str = "pd_ee_delta_pose",
    reward: str = "dense",
    max_episode_steps: int | None = None,
    wrap: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] | None = None,
    **kwargs: Any,
) -> gym.Env[Any, Any]:
    """
    Make one ManiSkill2 environment for Stable-Baselines3.

    :param task: A task of ManiSkill2, e.g. "PickCube-v0".
    :param obs: "state".
    :param control_mode: What an action means; the paper's is "pd_ee_delta_pose".
    :param reward: "dense" (ManiSkill2's normalized dense reward) or "sparse" (1 on success, otherwise 0).
    :param max_episode_steps: The time limit in steps; None for the task's own.
    :param wrap: Puts further wrappers around the environment.
    :param kwargs: Passed on to ManiSkill2.
    """
    import mani_skill2.envs  # registers the tasks

    with physics_only():
        env = gym.make(
            task,
            obs_mode="state",
            control_mode=control_mode,
            reward_mode=_REWARD_MODES[reward],
            max_episode_steps=max_episode_steps,
            **kwargs,
        )
    env = ManiSkill2Wrapper(env, obs, "human", INSTRUCTIONS[task])
    return env if wrap is None else wrap(env)

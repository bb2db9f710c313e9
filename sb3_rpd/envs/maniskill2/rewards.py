"""What ManiSkill2's tasks may pay."""

from types import MappingProxyType

import gymnasium as gym

#: What ``reward=`` may say, and ManiSkill2's name for what the simulator computes.
REWARDS = MappingProxyType({"dense": "normalized_dense", "sparse": "sparse", "maniskill2_dense": "normalized_dense"})

#: The most that ManiSkill2's normalized dense reward pays for a step: on success in each task, and in no state more.
MAX_DENSE_REWARD = 1.0

#: The most that it pays short of success: the sum of all terms of the task's ``compute_dense_reward`` at their best,
#: by its scale. LiftCube's is approached (a cube at the goal height in a hand that still moves), not reached.
HOVERING_REWARDS = MappingProxyType(
    {
        "LiftCube-v0": 2.25 / 2.25,
        "PickCube-v0": 3 / 5,
        "StackCube-v0": 12 / 15,
        "PegInsertionSide-v0": 15 / 25,
        "PlugCharger-v0": 29 / 50,
    }
)


def failure_reward(env: gym.Env) -> float | None:
    """
    What an episode pays that ends without success, which only a crash of the soft-body simulation does.

    :param env: An environment of ManiSkill2, for its time limit.
    :return: As much as all steps up to the time limit cost, at 1 each; None where there is no limit.
    """
    steps = time_limit(env)
    return None if steps is None else -float(steps)


def time_limit(env: gym.Env) -> int | None:
    """:return: An environment's time limit in steps, None without one."""
    return None if env.spec is None else env.spec.max_episode_steps

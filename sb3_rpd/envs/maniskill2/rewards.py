"""What ManiSkill2's tasks may pay, and when it pays to hover short of success."""

import warnings
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
    steps = _time_limit(env)
    return None if steps is None else -float(steps)


def _time_limit(env: gym.Env) -> int | None:
    return None if env.spec is None else env.spec.max_episode_steps


def hovering_pays_from(hovering_reward: float, steps: int | None) -> float | None:
    """
    With a reward of 1 on success, which ends the episode: when does it pay to hover instead until the time limit?

    :param hovering_reward: The reward of a step of hovering, in (0, 1].
    :param steps: How many steps there are; None for no limit.
    :return: The discount gamma in [0, 1) above which ``hovering_reward * (1 + gamma + ... + gamma ** (steps - 1)) > 1``;
        None if there is none.
    """
    if steps is None:
        return 1.0 - hovering_reward
    if hovering_reward * steps <= 1.0:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-6:
        gamma = (low + high) / 2
        hovering = hovering_reward * sum(gamma**k for k in range(steps))
        low, high = (low, gamma) if hovering > 1.0 else (gamma, high)
    return low


def warn_if_hovering_pays(task: str, env: gym.Env) -> None:
    """
    Say that ManiSkill2's own dense reward misleads where success ends the episode.

    :param task: The name of the task.
    :param env: Its environment, for the time limit.
    """
    hovering_reward = HOVERING_REWARDS.get(task, MAX_DENSE_REWARD)
    gamma = hovering_pays_from(hovering_reward, _time_limit(env))
    if gamma is None:
        return
    warnings.warn(
        f'reward="maniskill2_dense" pays up to {hovering_reward:.2f} for each step short of success in {task}, and 1 once for '
        f"success, which ends the episode: with gamma above {gamma:.2f} an agent may learn to hover short of success. Take "
        'reward="dense" (under which success is the best for every gamma) or "sparse", or end_on_success=False.',
        stacklevel=3,
    )

"""When a simulator's own dense reward pays more for hovering short of success than for success."""

import warnings


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


def warn_if_hovering_pays(
    reward: str, task: str, hovering_reward: float, steps: int | None, *, success_reward: float = 1.0, stacklevel: int = 3
) -> None:
    """
    Say that a dense reward misleads where success ends the episode.

    :param reward: What ``reward=`` calls it.
    :param task: The name of the task.
    :param hovering_reward: The most that it pays for a step short of success.
    :param steps: The time limit in steps; None for none.
    :param success_reward: The most that it pays for success, more than for a step short of it or as much.
    :param stacklevel: Which caller the warning shows, as ``warnings.warn`` counts them: 3 is the caller's caller.
    """
    gamma = hovering_pays_from(hovering_reward / success_reward, steps)
    if gamma is None:
        return
    warnings.warn(
        f'reward="{reward}" pays up to {hovering_reward:.2f} for each step short of success in {task}, and {success_reward:g} '
        f"once for success, which ends the episode: with gamma above {gamma:.2f} an agent may learn to hover short of "
        'success. Take reward="dense" (under which success is the best for every gamma) or "sparse", or end_on_success=False.',
        stacklevel=stacklevel,
    )

"""Checks what a teacher answered before any of it becomes a label."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.common.wording import cut, shortened

#: How far outside a Box an action may lie, as a share of the Box's width, and still be clipped to it.
BOX_TOLERANCE = 0.01


class CheckedOutput(NamedTuple):
    """
    A teacher's answer to n queries in the form in which a rollout buffer keeps it.

    :param actions: Shape (n, action_dim), float32; inside the Box or valid integers. Rows of NaN are not usable.
    :param distribution: Shape (n, k), float32: standard deviations (Box) or logits (discrete); None if not given.
    :param complaint: Why the NaN rows are not usable, None if there are none.
    :param clipped: Shape (n,): the share of each action's numbers that were clipped to a Box, here or by the teacher; 0 in NaN
        rows. None for other spaces.
    """

    actions: np.ndarray
    distribution: np.ndarray | None = None
    complaint: str | None = None
    clipped: np.ndarray | None = None


def check_teacher_output(
    answer: np.ndarray | TeacherOutput, action_space: spaces.Space, n_queries: int, source: str = "The teacher"
) -> CheckedOutput:
    """
    Check an answer against the action space.

    :param answer: What ``Teacher.predict`` returned for ``n_queries`` observations.
    :param action_space: The action space of one environment.
    :param n_queries: The number of observations that the teacher was given.
    :param source: Who gave the answer, for messages.
    :return: The answer with the rows that cannot be used (NaN, outside the space) masked by NaN and the cause named.
    :raises TeacherError: if the answer's shape or dtype does not fit the action space, which concerns all rows.
    """
    output = TeacherOutput.of(answer)
    actions = _numeric(output.actions, (n_queries, *(action_space.shape or ())), f"{source}'s actions", action_space)
    actions = actions.reshape(n_queries, get_action_dim(action_space))
    given = actions
    if isinstance(action_space, spaces.Box):
        actions, complaint = _check_box(actions, action_space)
        distribution = output.std
        expected = (n_queries, *action_space.shape)
    else:
        actions, complaint = _check_integers(actions, action_space)
        distribution = output.logits
        expected = (n_queries, n_logits(action_space))
    if distribution is not None:
        name = "std" if isinstance(action_space, spaces.Box) else "logits"
        distribution = _numeric(distribution, expected, f"{source}'s {name}", action_space).reshape(n_queries, -1)
        # A Gaussian fitted to equal samples has a std of 0, an action that is ruled out a logit of -inf
        usable = (distribution >= 0) & np.isfinite(distribution) if name == "std" else distribution < np.inf
        rows = usable.all(axis=1)
        if not rows.all():
            actions[~rows] = np.nan
            distribution[~rows] = 1.0
            complaint = complaint or f"{_count(~rows)} NaN, infinity or a negative standard deviation in the {name}"
    clipped = _clipped_share(given, actions, output.clipped) if isinstance(action_space, spaces.Box) else None
    return CheckedOutput(actions, distribution, complaint, clipped)


def n_logits(action_space: spaces.Space) -> int:
    """
    How many logits describe a distribution over a discrete action space.

    :param action_space: Discrete, MultiDiscrete or MultiBinary.
    :return: n for Discrete, sum(nvec) for MultiDiscrete, the number of bits for MultiBinary.
    """
    if isinstance(action_space, spaces.Discrete):
        return int(action_space.n)
    if isinstance(action_space, spaces.MultiDiscrete):
        return int(action_space.nvec.sum())
    return get_action_dim(action_space)


def _numeric(given: Any, shape: tuple[int, ...], name: str, action_space: spaces.Space) -> np.ndarray:
    try:
        array = np.asarray(given)
        is_real = (np.issubdtype(array.dtype, np.number) or array.dtype == bool) and not np.iscomplexobj(array)
        if is_real and array.shape == shape:
            return array.astype(np.float32)
        complaint = f"have shape {cut(array.shape)}" if is_real else f"have dtype {cut(array.dtype)}, not one of real numbers"
    except Exception as error:  # rows of different lengths, a tensor on a GPU
        complaint = f"are no array ({cut(error)})"
    what, cure = _not_meant_as_array(given) or (complaint, "")
    raise TeacherError(
        f"{name} {what}, but shape {shape} is needed: one row for each of the {shape[0]} observations, in the action space "
        f"{cut(action_space)}.{cure}"
    )


def _not_meant_as_array(given: Any) -> tuple[str, str] | None:
    """What is returned by mistake, and what to return in its place."""
    if given is None:
        return "are None", " A `return` may be missing."
    if isinstance(given, tuple):
        types = cut(", ".join(type(part).__name__ for part in given))
        return (
            f"are a tuple ({types})",
            " Return the actions alone, and of a Stable-Baselines3 model pass the model itself, not its predict.",
        )
    if isinstance(given, Mapping):
        return f"are a dict ({shortened(given)})", " Return the actions alone, or TeacherOutput(actions, std=...)."
    return None


def _check_box(actions: np.ndarray, space: spaces.Box) -> tuple[np.ndarray, str | None]:
    # In float64, in which the width of no Box overflows
    low, high = space.low.reshape(-1).astype(np.float64), space.high.reshape(-1).astype(np.float64)
    with np.errstate(invalid="ignore"):
        margin = np.where(np.isfinite(high - low), BOX_TOLERANCE * (high - low), 0.0)
        outside = ((actions < low - margin) | (actions > high + margin)).any(axis=1)
    not_finite = ~np.isfinite(actions).all(axis=1)
    complaint = None
    if not_finite.any():
        complaint = f"{_count(not_finite)} NaN or infinity in the action"
    elif outside.any():
        complaint = (
            f"{_count(outside)} an action outside of {cut(space)} by more than {BOX_TOLERANCE:.0%} of its width, the first "
            f"one {cut(actions[outside][0].tolist())}. A teacher's actions must be in the environment's units; clip them in "
            "the teacher if they are meant to saturate"
        )
    checked = np.clip(actions, low, high).astype(np.float32)
    checked[not_finite | outside] = np.nan
    return checked, complaint


def _clipped_share(given: np.ndarray, checked: np.ndarray, clipped_by_teacher: np.ndarray | None) -> np.ndarray:
    clipped = (given != checked).sum(axis=1)
    if clipped_by_teacher is not None:
        clipped = clipped + np.asarray(clipped_by_teacher)
    return np.where(np.isnan(checked).any(axis=1), 0.0, clipped / checked.shape[1])


def _check_integers(actions: np.ndarray, space: spaces.Space) -> tuple[np.ndarray, str | None]:
    # SB3's policies count from 0 whatever the start of the space
    if isinstance(space, spaces.Discrete):
        n_choices = np.array([space.n])
    elif isinstance(space, spaces.MultiDiscrete):
        n_choices = space.nvec.reshape(-1)
    else:
        n_choices = np.full(actions.shape[1], 2)
    with np.errstate(invalid="ignore"):
        valid = ((actions == np.floor(actions)) & (actions >= 0) & (actions < n_choices)).all(axis=1)
    if valid.all():
        return actions, None
    complaint = (
        f"{_count(~valid)} NaN, or an action that is not a whole number from 0 to {cut((n_choices - 1).tolist())}, the "
        f"first one {cut(actions[~valid][0].tolist())}"
    )
    actions[~valid] = np.nan
    return actions, complaint


def _count(rows: np.ndarray) -> str:
    return f"{int(rows.sum())} of {len(rows)} answers have"

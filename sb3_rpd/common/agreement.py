"""How often the student does what the teacher would do, for the log."""

from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution

from sb3_rpd.common.cached_tensors import constant
from sb3_rpd.common.distributions import is_squashed
from sb3_rpd.common.labels import TeacherLabels, labeled_mean


@th.no_grad()
def agreement(distribution: Distribution, labels: TeacherLabels, action_space: spaces.Space[Any]) -> th.Tensor:
    """
    How often the student's deterministic action is the teacher's: the mean of ``agreement_by_row``.

    :param distribution: The student's distribution.
    :param labels: The teacher's labels of the same rows.
    :param action_space: The action space of one environment.
    :return: A scalar in [0, 1], without gradient; 0 when nothing is labeled, which an average should leave out.
    """
    by_row = agreement_by_row(distribution.mode(), labels, action_space, is_squashed=is_squashed(distribution))
    return labeled_mean(by_row, labels.labeled)


def agreement_by_row(
    mode: th.Tensor, labels: TeacherLabels, action_space: spaces.Space[Any], *, is_squashed: bool
) -> th.Tensor:
    """
    In the discrete spaces: 1 where every component of the student's deterministic action is the teacher's. In a Box: the
    share of the dimensions in which the two are within 10% of half the Box's width (within 0.1 where the Box is unbounded,
    or where the policy squashes its actions to [-1, 1]).

    :param mode: The student's deterministic actions, shape (batch, ...).
    :param labels: The teacher's labels of the same rows.
    :param action_space: The action space of one environment.
    :param is_squashed: Whether the policy squashes its actions.
    :return: Shape (batch,), for rows without a label too.
    """
    student = mode.reshape(labels.actions.shape)
    if not isinstance(action_space, spaces.Box):
        return (student == labels.actions).all(dim=1).float()
    tolerance = _tolerance(action_space, is_squashed)
    agrees = (student - labels.actions).abs() <= constant(tolerance, student.dtype, student.device)
    return agrees.to(student.dtype).mean(dim=1)


def _tolerance(action_space: spaces.Box, squashed: bool) -> tuple[float, ...]:
    # In float64: the difference of the largest float32 bounds overflows float32
    half_width = (action_space.high.astype(np.float64) - action_space.low.astype(np.float64)).flatten() / 2.0
    scale = np.where(np.isfinite(half_width) & (not squashed), half_width, 1.0)
    return tuple(float(tolerance) for tolerance in 0.1 * scale)

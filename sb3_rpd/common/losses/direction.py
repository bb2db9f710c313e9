"""Whether the student goes where the teacher would go, however fast."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.preprocessing import get_action_dim

from sb3_rpd.common.cached_tensors import constant
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses.base import WeightedLoss, require_box
from sb3_rpd.common.wording import cut

#: The groups of the usual end-effector action (x, y, z, roll, pitch, yaw, gripper): the gripper is in none of them.
END_EFFECTOR_GROUPS: Mapping[str, Sequence[int]] = {"translation": (0, 1, 2), "rotation": (3, 4, 5)}


@dataclass(frozen=True)
class Cosine(WeightedLoss):
    """
    The directional loss of VLAJS (arXiv 2604.13733): the mean over groups of dimensions of 1 - cos(angle between the
    student's deterministic action and the teacher's). It asks for the teacher's direction and leaves the speed, and
    the dimensions in no group (the gripper), to the reward.

    A group in which the teacher asks for no motion has no direction: it adds nothing to its row.

    :param weights: The weights of the dimensions in the scalar product that defines the angle.
    :param groups: The indices of each named group in the flattened action. None stands for ``END_EFFECTOR_GROUPS`` and
        is for 7-dimensional end-effector control only.
    :param min_norm: A teacher's vector no longer than this, in action units, asks for no motion: set it to the size of a
        noisy teacher's idle motions. A shorter student's vector is divided by it and not by its own length, which
        bounds the gradient.
    """

    groups: Mapping[str, Sequence[int]] | None = None
    min_norm: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        # Its square must not vanish in float32
        if not 1e-12 <= self.min_norm < math.inf:
            raise ValueError(f"Cosine's min_norm must be finite and at least 1e-12, not {self.min_norm}.")
        if self.groups is None:
            return
        groups = {name: tuple(int(index) for index in indices) for name, indices in self.groups.items()}
        object.__setattr__(self, "groups", groups)
        for name, indices in groups.items():
            if not indices or len(set(indices)) != len(indices):
                raise ValueError(
                    f"Cosine's group {cut(repr(name))} must name each of its dimensions once, not {cut(indices)}."
                )
        if not groups:
            raise ValueError('Cosine needs at least one group of dimensions, such as {"translation": (0, 1, 2)}.')

    def check(self, action_space: spaces.Space[Any], squash_output: bool) -> None:
        require_box(self, action_space)
        super().check(action_space, squash_output)
        action_dim = get_action_dim(action_space)
        if self.groups is None:
            if action_dim != 7:
                raise ValueError(
                    f"Cosine's default groups are for a 7-dimensional end-effector action, but {cut(action_space)} has "
                    f'{action_dim} dimensions: name its groups, as in Cosine(groups={{"translation": (0, 1, 2)}}).'
                )
            return
        for name, indices in self.groups.items():
            if not all(0 <= index < action_dim for index in indices):
                raise ValueError(
                    f"Cosine's group {cut(repr(name))} names the dimensions {cut(indices)}, but an action of "
                    f"{cut(action_space)} has {action_dim} dimensions: indices go from 0 to {action_dim - 1}."
                )

    def per_sample(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        student, teacher = distribution.mode(), labels.actions
        groups = self.group_matrix(student)
        teacher_squared = _sum_by_group(teacher * teacher, groups)
        has_direction = teacher_squared > self.min_norm**2
        # Clamped before the root, whose gradient at zero is infinite
        student_norm = _sum_by_group(student * student, groups).clamp(min=self.min_norm**2).sqrt()
        teacher_norm = teacher_squared.clamp(min=self.min_norm**2).sqrt()
        cosines = _sum_by_group(student * teacher, groups) / (student_norm * teacher_norm)
        return th.where(has_direction, 1.0 - cosines, 0.0).mean(dim=1)

    def group_matrix(self, student: th.Tensor) -> th.Tensor:
        """
        :param student: Actions of shape (batch, action_dim).
        :return: The weight of each dimension in each group, a constant of shape (action_dim, n_groups).
        """
        groups = END_EFFECTOR_GROUPS if self.groups is None else self.groups
        weights = self.weights or (1.0,) * student.shape[1]
        rows = tuple(tuple(weight * (dim in indices) for indices in groups.values()) for dim, weight in enumerate(weights))
        return constant(rows, student.dtype, student.device)


def _sum_by_group(terms: th.Tensor, groups: th.Tensor) -> th.Tensor:
    # Not a matrix product: labels and student may differ in dtype, and autocast would round the product
    return (terms.unsqueeze(2) * groups).sum(dim=1)

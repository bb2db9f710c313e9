"""Losses on the distance between the student's deterministic action and the teacher's."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from torch.nn import functional as F

from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses.base import WeightedLoss, require_box


@dataclass(frozen=True)
class RegressionLoss(WeightedLoss):
    """
    A loss on the distance between the student's deterministic action (``distribution.mode()``, so the Gaussian's mean)
    and the teacher's action: the mean over dimensions of weight * penalty, as ``torch.nn.functional.mse_loss`` has it.
    """

    def check(self, action_space: spaces.Space[Any], squash_output: bool) -> None:
        require_box(self, action_space)
        super().check(action_space, squash_output)

    @abstractmethod
    def penalty(self, student: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        """
        :param student: The student's deterministic actions, of shape (batch, action_dim).
        :param teacher: The teacher's actions, of the same shape.
        :return: What each dimension costs, of the same shape.
        """

    def per_sample(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        return self.weigh(self.penalty(distribution.mode(), labels.actions)).mean(dim=1)


@dataclass(frozen=True)
class MSE(RegressionLoss):
    """The squared error: the main loss of RPD (arXiv 2503.05833)."""

    def penalty(self, student: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        return F.mse_loss(student, teacher, reduction="none")


@dataclass(frozen=True)
class L1(RegressionLoss):
    """The absolute error, a variant that RPD (arXiv 2503.05833) compares."""

    def penalty(self, student: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        return F.l1_loss(student, teacher, reduction="none")


@dataclass(frozen=True)
class Huber(RegressionLoss):
    """
    Half the squared error up to ``delta``, linear beyond: a teacher's outlier pulls no harder than ``delta``.

    :param delta: Where the quadratic part ends, in action units.
    """

    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (math.isfinite(self.delta) and self.delta > 0.0):
            raise ValueError(f"Huber's delta must be finite and > 0, not {self.delta}.")

    def penalty(self, student: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        return F.huber_loss(student, teacher, reduction="none", delta=self.delta)

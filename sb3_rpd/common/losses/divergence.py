"""How far the student's distribution is from the teacher's."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from torch.nn import functional as F

from sb3_rpd.common.distributions import categorical_kl, gaussian_kl, is_discrete, logits_by_dimension
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses.base import WeightedLoss

#: A discrete teacher's probability counts as no less than this in a logarithm: it may rule actions out.
MIN_TEACHER_PROBABILITY = 1e-8

#: The logit of an action that is not allowed, as in sb3-contrib.
MASKED_LOGIT = -1e8


@dataclass(frozen=True)
class KL(WeightedLoss):
    """
    The KL divergence between teacher and student, summed over dimensions, times ``max(ratio, 1 - clip_range)``: the
    distillation term of PPD (arXiv 2407.15134). As in its formula the gradient goes through the ratio too, where that
    is the larger of the two.

    :param direction: "forward" is KL(teacher || student), PPD's own; "reverse" is KL(student || teacher), which RPD
        (arXiv 2503.05833) ran under PPD's name.
    :param min_std: A Gaussian teacher's standard deviation counts as no less than this, in action units: fitted to a
        handful of samples it may be zero, and the divergence infinite.
    """

    needs_distribution: ClassVar[bool] = True

    direction: Literal["forward", "reverse"] = "forward"
    min_std: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.direction not in ("forward", "reverse"):
            raise ValueError(
                f'KL\'s direction must be "forward", KL(teacher || student), or "reverse", KL(student || teacher), '
                f"not {self.direction!r}."
            )
        if not (math.isfinite(self.min_std) and self.min_std > 0.0):
            raise ValueError(f"KL's min_std must be finite and > 0, not {self.min_std}.")

    def check(self, action_space: spaces.Space[Any], squash_output: bool) -> None:
        super().check(action_space, squash_output)
        if squash_output:
            raise ValueError(
                "KL compares Gaussians in the environment's units, and a policy with squash_output=True has none: "
                "set squash_output=False, or take the loss 'mse' or 'nll'."
            )

    def per_sample(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        if is_discrete(distribution):
            divergences = self._between_logits(distribution, labels)
        else:
            divergences = self._between_gaussians(distribution, labels)
        # The ratio of an unlabeled row may be infinite, and zero times infinity is a NaN in the backward pass
        factor = th.where(labels.labeled, ratio, 1.0).clamp(min=1.0 - clip_range)
        return self.weigh(divergences).sum(dim=1) * factor

    def teacher_std(self, labels: TeacherLabels) -> th.Tensor:
        """
        :param labels: The teacher's labels.
        :return: Its standard deviation, no less than ``min_std``.
        :raises ValueError: if the teacher does not give it.
        """
        if labels.std is None:
            raise ValueError(_no_distribution("the standard deviation of its Gaussian (TeacherOutput.std)"))
        return labels.std.clamp(min=self.min_std)

    @staticmethod
    def teacher_logits(labels: TeacherLabels) -> th.Tensor:
        """
        :param labels: The teacher's labels.
        :return: Its logits.
        :raises ValueError: if the teacher does not give them.
        """
        if labels.logits is None:
            raise ValueError(_no_distribution("its logits (TeacherOutput.logits)"))
        return labels.logits

    def _between_gaussians(self, distribution: Distribution, labels: TeacherLabels) -> th.Tensor:
        normal = distribution.distribution
        assert isinstance(normal, th.distributions.Normal)
        student, teacher = (normal.mean, normal.stddev), (labels.actions, self.teacher_std(labels))
        return gaussian_kl(*teacher, *student) if self.direction == "forward" else gaussian_kl(*student, *teacher)

    def _between_logits(self, distribution: Distribution, labels: TeacherLabels) -> th.Tensor:
        divergences = []
        for student_logits, teacher_logits, allowed in logits_by_dimension(distribution, self.teacher_logits(labels)):
            if allowed is not None:
                # What is left of the teacher's distribution: the student has no other choice
                teacher_logits = th.where(allowed, teacher_logits, MASKED_LOGIT)
            student = F.log_softmax(student_logits, dim=-1)
            teacher = F.log_softmax(teacher_logits, dim=-1).clamp(min=math.log(MIN_TEACHER_PROBABILITY))
            pair = (teacher, student) if self.direction == "forward" else (student, teacher)
            divergences.append(categorical_kl(*pair, allowed))
        return th.stack(divergences, dim=1)


def _no_distribution(missing: str) -> str:
    return (
        f"KL needs a teacher that gives its distribution, but the labels lack {missing}: take a teacher that returns it, "
        "or the loss 'mse' or 'nll', which need the teacher's actions only."
    )

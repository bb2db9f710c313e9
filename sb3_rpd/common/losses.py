"""Imitation losses: how far the student's action distribution is from the teacher's labels, one small object for each."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.preprocessing import get_action_dim
from torch.nn import functional as F

from sb3_rpd.common.cached_tensors import constant
from sb3_rpd.common.distributions import (
    categorical_kl,
    gaussian_kl,
    is_discrete,
    log_prob,
    log_prob_by_dimension,
    logits_by_dimension,
)
from sb3_rpd.common.labels import TeacherLabels, labeled_mean
from sb3_rpd.common.wording import cut

#: A discrete teacher's probability counts as no less than this in a logarithm: it may rule actions out.
MIN_TEACHER_PROBABILITY = 1e-8

#: The logit of an action that is not allowed, as in sb3-contrib.
MASKED_LOGIT = -1e8

#: The groups of the usual end-effector action (x, y, z, roll, pitch, yaw, gripper): the gripper is in none of them.
END_EFFECTOR_GROUPS: Mapping[str, Sequence[int]] = {"translation": (0, 1, 2), "rotation": (3, 4, 5)}


class ImitationLoss(ABC):
    """
    A distance between the student's action distribution and the teacher's labels.

    A loss of your own is a picklable subclass with a ``per_sample``, whose value and gradient must stay finite in
    the zero-filled rows too: they are masked, and a mask does not stop a NaN in the backward pass.
    """

    #: Whether the teacher must give its distribution (``TeacherLabels.std`` or ``.logits``), not only an action.
    needs_distribution: ClassVar[bool] = False

    def check(self, action_space: spaces.Space[Any], squash_output: bool) -> None:  # noqa: B027 (optional hook)
        """
        Called once, before training, to refuse what this loss cannot do.

        :param action_space: The action space of one environment.
        :param squash_output: Whether the policy squashes its actions with a tanh (gSDE only).
        :raises ValueError: if the loss does not fit.
        """

    @abstractmethod
    def per_sample(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        """
        The loss of each row, labeled or not.

        :param distribution: The student's distribution, as ``policy.evaluate_actions`` has just left it.
        :param labels: The teacher's labels of the same rows.
        :param ratio: PPO's probability ratio of the actions taken, of shape (batch,), with its gradient.
        :param clip_range: PPO's current clip range.
        :return: A tensor of shape (batch,) through which the student gets its gradient.
        """

    def __call__(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        """
        The mean of ``per_sample`` over the labeled rows; zero, with zero gradient, when there are none.

        :param distribution: See ``per_sample``.
        :param labels: See ``per_sample``.
        :param ratio: See ``per_sample``.
        :param clip_range: See ``per_sample``.
        :return: A scalar.
        """
        return labeled_mean(self.by_row(distribution, labels, ratio, clip_range), labels.labeled)

    def by_row(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        """
        What ``per_sample`` returns, made sure of.

        :param distribution: See ``per_sample``.
        :param labels: See ``per_sample``.
        :param ratio: See ``per_sample``.
        :param clip_range: See ``per_sample``.
        :return: A tensor of shape (batch,).
        :raises ValueError: if ``per_sample`` returns something else, which would be averaged in a wrong way.
        """
        rows = self.per_sample(distribution, labels, ratio, clip_range)
        if not isinstance(rows, th.Tensor) or rows.shape != labels.labeled.shape:
            returned = f"a tensor of shape {tuple(rows.shape)}" if isinstance(rows, th.Tensor) else f"a {type(rows).__name__}"
            raise ValueError(
                f"{type(self).__name__}.per_sample returned {returned}, but the loss of each row is needed: shape (batch,), "
                f"here {tuple(labels.labeled.shape)}. Take the sum or mean over the dimensions of the action only (dim=1): "
                "that over the labeled rows comes later."
            )
        return rows


@dataclass(frozen=True)
class WeightedLoss(ImitationLoss):
    """
    An imitation loss that can weigh the dimensions of an action.

    :param weights: One finite factor >= 0 for each dimension of the flattened action; None means 1 for each.
    """

    weights: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.weights is None:
            return
        object.__setattr__(self, "weights", tuple(float(weight) for weight in self.weights))
        if not all(math.isfinite(weight) and weight >= 0.0 for weight in self.weights):
            raise ValueError(f"The weights of an imitation loss must be finite and >= 0, not {cut(self.weights)}.")

    def check(self, action_space: spaces.Space[Any], squash_output: bool) -> None:
        action_dim = get_action_dim(action_space)
        if self.weights is not None and len(self.weights) != action_dim:
            raise ValueError(
                f"{type(self).__name__} has {len(self.weights)} weights, but an action of {cut(action_space)} has "
                f"{action_dim} dimensions: give {action_dim} weights, or none."
            )

    def weigh(self, terms: th.Tensor) -> th.Tensor:
        """
        :param terms: One term for each dimension, of shape (batch, action_dim).
        :return: The same, each times its weight.
        """
        return terms if self.weights is None else terms * constant(self.weights, terms.dtype, terms.device)


@dataclass(frozen=True)
class RegressionLoss(WeightedLoss):
    """
    A loss on the distance between the student's deterministic action (``distribution.mode()``, so the Gaussian's mean)
    and the teacher's action: the mean over dimensions of weight * penalty, as ``torch.nn.functional.mse_loss`` has it.
    """

    def check(self, action_space: spaces.Space[Any], squash_output: bool) -> None:
        _require_box(self, action_space)
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


@dataclass(frozen=True)
class NLL(WeightedLoss):
    """
    The negative log-likelihood of the teacher's action, summed over dimensions: behavioral cloning, the "bc" of RPD
    (arXiv 2503.05833). It trains the student's standard deviation too.

    With ``squash_output`` a label of exactly 1 or -1 counts as the float next to it, as in SB3: finite, but so far out in
    the Gaussian before the tanh that "mse" suits teachers that saturate better.
    """

    def per_sample(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        if self.weights is None:
            return -log_prob(distribution, labels.actions)
        return -self.weigh(log_prob_by_dimension(distribution, labels.actions)).sum(dim=1)


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
        _require_box(self, action_space)
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


def _require_box(loss: ImitationLoss, action_space: spaces.Space[Any]) -> None:
    if not isinstance(action_space, spaces.Box):
        raise ValueError(
            f"{type(loss).__name__} measures a distance between continuous actions, and those of {cut(action_space)} have "
            "none: take the loss 'nll' (what 'auto' means for this space), or 'kl' if the teacher gives logits."
        )


def _no_distribution(missing: str) -> str:
    return (
        f"KL needs a teacher that gives its distribution, but the labels lack {missing}: take a teacher that returns it, "
        "or the loss 'mse' or 'nll', which need the teacher's actions only."
    )

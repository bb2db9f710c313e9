"""What all imitation losses have in common."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.preprocessing import get_action_dim

from sb3_rpd.common.cached_tensors import constant
from sb3_rpd.common.labels import TeacherLabels, labeled_mean
from sb3_rpd.common.wording import cut


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


def require_box(loss: ImitationLoss, action_space: spaces.Space[Any]) -> None:
    """
    :param loss: A loss on the distance between actions.
    :param action_space: The action space of one environment.
    :raises ValueError: if its actions have no distance.
    """
    if not isinstance(action_space, spaces.Box):
        raise ValueError(
            f"{type(loss).__name__} measures a distance between continuous actions, and those of {cut(action_space)} have "
            "none: take the loss 'nll' (what 'auto' means for this space), or 'kl' if the teacher gives logits."
        )

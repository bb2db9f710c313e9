"""The gradient of RPD's loss with respect to what a Gaussian policy puts out."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, ClassVar, NamedTuple

import torch as th
from stable_baselines3.common.distributions import DiagGaussianDistribution
from torch.distributions import Normal

from sb3_rpd.common.losses import L1, MSE, Huber, ImitationLoss, RegressionLoss
from sb3_rpd.common.ppo_loss import PPOLossSettings
from sb3_rpd.fast_path.networks import Outputs
from sb3_rpd.fast_path.rows import Rows


class LogRatio(NamedTuple):
    """
    The logarithm of the probability ratio, and what it is made of.

    :param value: Shape (rows,).
    :param score: Its derivative with respect to the mean, shape (rows, action_dim).
    :param squares: ``((actions - mean) / std)**2``, shape (rows, action_dim); less 1 its derivative by ``log_std``.
    """

    value: th.Tensor
    score: th.Tensor
    squares: th.Tensor


def log_ratio(mean: th.Tensor, log_std: th.Tensor, rows: Rows) -> LogRatio:
    """
    :param mean: Shape (rows, action_dim).
    :param log_std: Shape (action_dim,) or (rows, action_dim).
    :param rows: The same rows of the rollout.
    :return: For a Gaussian with a diagonal covariance.
    """
    deviation = rows.actions - mean
    score = deviation * th.exp(-2.0 * log_std)
    squares = deviation * score
    constant = log_std.sum(dim=-1) + 0.5 * math.log(2.0 * math.pi) * mean.shape[1]
    return LogRatio(th.add(-constant - rows.old_log_prob, squares.sum(dim=1), alpha=-0.5), score, squares)


@cache
def clamp_passes_at_its_bounds() -> bool:
    """:return: Whether ``th.clamp`` has a gradient at its bounds: up to torch 2.13 it is 1 there, from 2.14 on 0."""
    with th.enable_grad():
        bound = th.ones(1, requires_grad=True)
        (gradient,) = th.autograd.grad(bound.clamp(-1.0, 1.0), bound)
    return bool(gradient.item() == 1.0)


def passes_clamp(values: th.Tensor, clamped: th.Tensor, low: float, high: float) -> th.Tensor:
    """
    :param values: What ``th.clamp(values, low, high)`` is given.
    :param clamped: What it returns.
    :param low: Its lower bound.
    :param high: Its upper bound.
    :return: Where its gradient is 1 and not 0 with the installed torch, of the same shape.
    """
    if clamp_passes_at_its_bounds():
        return values == clamped
    return (values > low) & (values < high)


def ppo_gradient(outputs: Outputs, rows: Rows, settings: PPOLossSettings) -> tuple[Outputs, th.Tensor]:
    """
    The gradient of ``sb3_rpd.common.ppo_loss.ppo_loss``, whose advantages are normalized already.

    :param outputs: The policy's outputs.
    :param rows: The same rows of the rollout.
    :param settings: Clip ranges and weights.
    :return: The gradient, and the logarithm of the probability ratio, shape (rows,).
    """
    n_rows = len(rows.returns)
    log_ratios, score, squares = log_ratio(outputs.mean, outputs.log_std, rows)
    ratio = th.exp(log_ratios)
    low, high = 1.0 - settings.clip_range, 1.0 + settings.clip_range
    surrogate = rows.advantages * ratio
    clipped_ratio = ratio.clamp(low, high)
    # 2 where the surrogate is the smaller, 0 where the clipped one is. Where they are equal th.min gives each its half, and
    # that of the clipped one passes the clamp or does not
    halves = (rows.advantages * clipped_ratio).sub_(surrogate).sign_().add_(1.0)
    halves.masked_fill_(passes_clamp(ratio, clipped_ratio, low, high), 2.0)
    of_log_prob = surrogate.mul_(halves).mul_(-0.5 / n_rows)
    of_mean = score.mul_(of_log_prob.unsqueeze(1))
    # The entropy's gradient is 1 in each dimension
    of_log_std = th.mv(squares.t(), of_log_prob) - (of_log_prob.sum() + settings.ent_coef)

    error = outputs.values - rows.returns
    if settings.clip_range_vf is not None:
        change = outputs.values - rows.old_values
        low, high = -settings.clip_range_vf, settings.clip_range_vf
        clipped_change = change.clamp(low, high)
        passes = passes_clamp(change, clipped_change, low, high)
        error = (rows.old_values + clipped_change - rows.returns) * passes
    return Outputs(of_mean, of_log_std, error.mul_(2.0 * settings.vf_coef / n_rows)), log_ratios


class ImitationGradient(ABC):
    """
    The gradient of ``coef * loss``.

    :param loss: The imitation loss.
    :param coef: Its coefficient.
    :param clip_range: PPO's.
    """

    def __init__(self, loss: ImitationLoss, coef: float, clip_range: float) -> None:
        self.loss = loss
        self.coef = coef
        self.clip_range = clip_range

    @abstractmethod
    def add_to(self, gradient: Outputs, outputs: Outputs, rows: Rows) -> None:
        """
        :param gradient: What it is added to, in place.
        :param outputs: The policy's outputs.
        :param rows: The same rows of the rollout.
        """


class AutogradImitation(ImitationGradient):
    """For any loss, by autograd through the loss and no further."""

    def add_to(self, gradient: Outputs, outputs: Outputs, rows: Rows) -> None:
        with th.enable_grad():
            mean, log_std = outputs.mean.detach().requires_grad_(), outputs.log_std.detach().requires_grad_()
            ratio = log_ratio(mean, log_std, rows).value.exp()
            by_row = self.loss.by_row(gaussian(mean, log_std), rows.labels, ratio, self.clip_range)
            loss = self.coef * (by_row * rows.label_weights).sum()
        if not loss.requires_grad:
            return
        of_mean, of_log_std = th.autograd.grad(loss, (mean, log_std), materialize_grads=True)
        gradient.mean.add_(of_mean)
        gradient.log_std.add_(of_log_std)


class RegressionImitation(ImitationGradient):
    """For the losses on the distance from the mean to the teacher's action, in closed form."""

    loss: RegressionLoss

    #: The derivative of the penalty by the distance, which is overwritten.
    _DERIVATIVES: ClassVar[Mapping[type[ImitationLoss], Callable[[Any, th.Tensor], th.Tensor]]] = {
        MSE: lambda loss, distance: distance.mul_(2.0),
        L1: lambda loss, distance: distance.sign_(),
        Huber: lambda loss, distance: distance.clamp_(-loss.delta, loss.delta),
    }

    @classmethod
    def covers(cls, loss: ImitationLoss) -> bool:
        """:return: Whether the derivative of this loss is known."""
        return type(loss) in cls._DERIVATIVES

    def add_to(self, gradient: Outputs, outputs: Outputs, rows: Rows) -> None:
        derivative = self._DERIVATIVES[type(self.loss)](self.loss, outputs.mean - rows.teacher_actions)
        weights = rows.label_weights.unsqueeze(1)
        gradient.mean.addcmul_(self.loss.weigh(derivative), weights, value=self.coef / outputs.mean.shape[1])


def imitation_gradient(loss: ImitationLoss, coef: float, clip_range: float) -> ImitationGradient:
    """
    :param loss: An imitation loss that fits the action space.
    :param coef: Its coefficient.
    :param clip_range: PPO's.
    :return: Its gradient, in closed form where that is known.
    """
    kind = RegressionImitation if RegressionImitation.covers(loss) else AutogradImitation
    return kind(loss, coef, clip_range)


def gaussian(mean: th.Tensor, log_std: th.Tensor) -> DiagGaussianDistribution:
    """
    :param mean: Shape (rows, action_dim).
    :param log_std: Shape (action_dim,) or (rows, action_dim).
    :return: The policy's distribution.
    """
    distribution = DiagGaussianDistribution(mean.shape[1])
    # As proba_distribution makes it, without the checks
    distribution.distribution = Normal(mean, log_std.exp().expand_as(mean), validate_args=False)
    return distribution

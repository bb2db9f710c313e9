"""All that the fast path knows of Gaussians: a mean and a logarithm of the standard deviation for each row and dimension."""

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from torch.distributions import Normal

from sb3_rpd.common.losses import L1, MSE, Huber, ImitationLoss, RegressionLoss
from sb3_rpd.fast_path.heads.head import Evaluation, Head, ImitationGradient, LogProb, Outputs, Parameters
from sb3_rpd.fast_path.rows import Rows

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class RegressionImitation(ImitationGradient):
    """For the losses on the distance from the student's deterministic action to the teacher's."""

    loss: RegressionLoss

    #: The derivative of the penalty by the distance, which is overwritten.
    _DERIVATIVES: ClassVar[Mapping[type[ImitationLoss], Callable[[Any, th.Tensor], th.Tensor]]] = {
        MSE: lambda loss, distance: distance.mul_(2.0),
        L1: lambda loss, distance: distance.sign_(),
        Huber: lambda loss, distance: distance.clamp_(-loss.delta, loss.delta),
    }

    def add_to(self, of_parameters: Parameters, evaluation: Evaluation, rows: Rows) -> None:
        mean, _ = evaluation.parameters
        derivative = self._DERIVATIVES[type(self.loss)](self.loss, mean - rows.teacher_actions)
        weights = rows.label_weights.unsqueeze(1)
        of_parameters[0].addcmul_(self.loss.weigh(derivative), weights, value=self.coef / mean.shape[1])


class GaussianHead(Head):
    """A ``DiagGaussianDistribution``; its parameters are ``mean`` and ``log_std``, each of shape (rows, action_dim)."""

    kind = DiagGaussianDistribution
    imitation_gradients: ClassVar[Mapping[type[ImitationLoss], type[ImitationGradient]]] = {
        MSE: RegressionImitation,
        L1: RegressionImitation,
        Huber: RegressionImitation,
    }

    def parameters(self, outputs: Outputs) -> Parameters:
        assert outputs.log_std is not None
        return outputs.actions, outputs.log_std.expand_as(outputs.actions)

    def backward(self, of_parameters: Parameters, parameters: Parameters, outputs: Outputs, of_values: th.Tensor) -> Outputs:
        of_mean, of_log_std = of_parameters
        return Outputs(of_mean, of_log_std.sum(dim=0), of_values)

    def distribution(self, parameters: Parameters) -> Distribution:
        mean, log_std = parameters
        distribution = DiagGaussianDistribution(mean.shape[1])
        distribution.distribution = Normal(mean, log_std.exp(), validate_args=False)
        return distribution

    def log_prob(self, parameters: Parameters, actions: th.Tensor) -> LogProb:
        mean, log_std = parameters
        deviation = actions - mean
        score = deviation * th.exp(-2.0 * log_std)
        squares = deviation * score
        constant = log_std.sum(dim=1) + _LOG_SQRT_2PI * mean.shape[1]
        return LogProb(th.add(-constant, squares.sum(dim=1), alpha=-0.5), (score, squares.sub_(1.0)))

    def add_entropy_gradient(self, of_parameters: Parameters, parameters: Parameters, weight: float) -> None:
        _, of_log_std = of_parameters
        of_log_std.add_(weight)

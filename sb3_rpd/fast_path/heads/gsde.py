"""gSDE (https://arxiv.org/abs/2005.05719): a Gaussian whose variance comes from what the action layer is given."""

from typing import ClassVar, TypeGuard

import torch as th
from stable_baselines3.common.distributions import Distribution, StateDependentNoiseDistribution, TanhBijector
from torch.distributions import Normal

from sb3_rpd.fast_path.heads.gaussian import GaussianHead
from sb3_rpd.fast_path.heads.head import Outputs, Parameters
from sb3_rpd.fast_path.rows import Rows


class GSDEHead(GaussianHead):
    """
    A ``StateDependentNoiseDistribution``; its parameters are those of the Gaussian that it is for each row.

    SB3's policies give no gradient from the noise to the features, and so there is none here.
    """

    kind: ClassVar[type[Distribution]] = StateDependentNoiseDistribution
    of_policy: StateDependentNoiseDistribution

    @classmethod
    def fits(cls, distribution: Distribution) -> bool:
        return _is_covered(distribution) and distribution.bijector is None

    def parameters(self, outputs: Outputs) -> Parameters:
        return outputs.actions, self._variance(outputs).log().mul_(0.5)

    def backward(self, of_parameters: Parameters, parameters: Parameters, outputs: Outputs, of_values: th.Tensor) -> Outputs:
        of_mean, of_log_std = of_parameters
        assert outputs.log_std is not None
        assert outputs.latent is not None
        # By the chain rule: log_std of the row <- its variance <- the squared deviations of the weights <- the parameter
        of_variance = of_log_std * th.exp(-2.0 * parameters[1])
        std = self.of_policy.get_std(outputs.log_std)
        of_parameter = (outputs.latent.square().t() @ of_variance).mul_(std)
        of_parameter.mul_(self._std_derivative(outputs.log_std, std))
        if not self.of_policy.full_std:
            of_parameter = of_parameter.sum(dim=1, keepdim=True)
        return Outputs(of_mean, of_parameter, of_values)

    def distribution(self, parameters: Parameters) -> Distribution:
        mean, log_std = parameters
        own = self.of_policy
        distribution = StateDependentNoiseDistribution(
            mean.shape[1], squash_output=own.bijector is not None, epsilon=own.epsilon
        )
        distribution.distribution = Normal(mean, log_std.exp(), validate_args=False)
        return distribution

    def set_unchecked(self, outputs: Outputs) -> th.Tensor:
        assert outputs.latent is not None
        self.of_policy._latent_sde = outputs.latent
        return self._set_normal(outputs.actions, self._variance(outputs).sqrt())

    def set_checked(self, outputs: Outputs) -> None:
        assert outputs.log_std is not None
        assert outputs.latent is not None
        self.of_policy.proba_distribution(outputs.actions, outputs.log_std, outputs.latent)

    def _variance(self, outputs: Outputs) -> th.Tensor:
        assert outputs.log_std is not None
        assert outputs.latent is not None
        of_weights = self.of_policy.get_std(outputs.log_std) ** 2
        return th.mm(outputs.latent**2, of_weights) + self.of_policy.epsilon

    def _std_derivative(self, log_std: th.Tensor, std: th.Tensor) -> th.Tensor:
        """:return: The derivative of ``get_std``."""
        if not self.of_policy.use_expln:
            return std
        return th.where(log_std <= 0.0, std, 1.0 / (1.0 + log_std + self.of_policy.epsilon))


class SquashedGSDEHead(GSDEHead):
    """
    With a tanh after it. All is worked out before the tanh: where the action is given, what the tanh does to its
    log-probability depends on nothing that is trained.
    """

    of_policy: StateDependentNoiseDistribution
    has_entropy = False

    @classmethod
    def fits(cls, distribution: Distribution) -> bool:
        return _is_covered(distribution) and type(distribution.bijector) is TanhBijector

    def prepare(self, rows: Rows) -> Rows:
        actions = self.unsquashed(rows.actions)
        return rows._replace(actions=actions, old_log_prob=rows.old_log_prob + self._correction(actions))

    def entropy(self, parameters: Parameters, log_prob: th.Tensor, actions: th.Tensor) -> th.Tensor:
        return self._correction(actions) - log_prob

    def mode(self, parameters: Parameters) -> th.Tensor:
        return th.tanh(parameters[0])

    def mode_backward(self, of_mode: th.Tensor, mode: th.Tensor) -> th.Tensor:
        return of_mode * (1.0 - mode.square())

    def unsquashed(self, actions: th.Tensor) -> th.Tensor:
        return TanhBijector.inverse(actions)

    def _correction(self, actions: th.Tensor) -> th.Tensor:
        """:return: How much larger the log-probability is before the tanh, shape (rows,)."""
        assert self.of_policy.bijector is not None
        return self.of_policy.bijector.log_prob_correction(actions).sum(dim=1)


def _is_covered(distribution: Distribution) -> TypeGuard[StateDependentNoiseDistribution]:
    return type(distribution) is StateDependentNoiseDistribution and not distribution.learn_features

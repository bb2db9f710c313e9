"""All that the fast path knows of Gaussians: a mean and a logarithm of the standard deviation for each row and dimension."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch as th
from stable_baselines3.common.distributions import DiagGaussianDistribution, Distribution
from torch.distributions import Normal

from sb3_rpd.common.cached_tensors import constant
from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber, ImitationLoss, RegressionLoss
from sb3_rpd.fast_path.clamp import passes_clamp
from sb3_rpd.fast_path.heads.divergence import KLImitation
from sb3_rpd.fast_path.heads.head import Evaluation, Head, ImitationGradient, LogProb, Outputs, Parameters
from sb3_rpd.fast_path.rows import Rows

_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)


class _ModeImitation(ImitationGradient):
    """For losses on the student's deterministic action."""

    head: "GaussianHead"

    @abstractmethod
    def derivative(self, mode: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        """:return: That of the loss of each row by the student's deterministic action, shape (rows, action_dim)."""

    def add_to(self, of_parameters: Parameters, evaluation: Evaluation, rows: Rows) -> None:
        mode = self.head.mode(evaluation.parameters)
        of_mean = self.head.mode_backward(self.derivative(mode, rows.teacher_actions), mode)
        of_parameters[0].addcmul_(of_mean, rows.label_weights.unsqueeze(1), value=self.coef)


class RegressionImitation(_ModeImitation):
    """For the losses on the distance from the student's deterministic action to the teacher's."""

    loss: RegressionLoss

    #: The derivative of the penalty by the distance, which is overwritten, over the number of dimensions.
    _DERIVATIVES: ClassVar[Mapping[type[ImitationLoss], Callable[[Any, th.Tensor], th.Tensor]]] = {
        MSE: lambda loss, distance: distance.mul_(2.0 / distance.shape[1]),
        L1: lambda loss, distance: distance.sign_().div_(distance.shape[1]),
        Huber: lambda loss, distance: distance.clamp_(-loss.delta, loss.delta).div_(distance.shape[1]),
    }

    def derivative(self, mode: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        return self.loss.weigh(self._DERIVATIVES[type(self.loss)](self.loss, mode - teacher))


class CosineImitation(_ModeImitation):
    """For the directional loss."""

    loss: Cosine

    def derivative(self, mode: th.Tensor, teacher: th.Tensor) -> th.Tensor:
        groups = self.loss.group_matrix(mode)
        smallest = self.loss.min_norm**2
        student_squared, teacher_squared = mode.square() @ groups, teacher.square() @ groups
        clamped = student_squared.clamp(min=smallest)
        # Zero where the teacher asks for no motion
        by_product = (teacher_squared > smallest) / (clamped * teacher_squared.clamp(min=smallest)).sqrt()
        cosines = (mode * teacher) @ groups * by_product
        by_square = cosines / clamped * passes_clamp(student_squared, clamped, smallest, math.inf)
        by_mode = mode * (by_square @ groups.t()) - teacher * (by_product @ groups.t())
        return by_mode.div_(groups.shape[1])


class NLLImitation(ImitationGradient):
    """For the likelihood of the teacher's action."""

    head: "GaussianHead"
    loss: NLL

    def add_to(self, of_parameters: Parameters, evaluation: Evaluation, rows: Rows) -> None:
        of_teacher = self.head.log_prob(evaluation.parameters, self.head.unsquashed(rows.teacher_actions))
        weights = rows.label_weights.unsqueeze(1)
        for total, derivative in zip(of_parameters, of_teacher.derivatives, strict=True):
            total.addcmul_(self.loss.weigh(derivative), weights, value=-self.coef)


class GaussianKLImitation(KLImitation):
    """For the divergence between the student's Gaussian and the teacher's, ``common.distributions.gaussian_kl``."""

    def divergence(self, parameters: Parameters, rows: Rows) -> tuple[th.Tensor, Parameters]:
        mean, log_std = parameters
        teacher_std = self.loss.teacher_std(rows.labels)
        difference = mean - rows.teacher_actions
        squares = difference.square()
        log_quotient = log_std - teacher_std.log()
        if self.loss.direction == "forward":
            precision = th.exp(-2.0 * log_std)
            spread = (teacher_std.square() + squares) * precision
            terms, by_log_std = log_quotient + 0.5 * spread - 0.5, 1.0 - spread
        else:
            precision = teacher_std.square().reciprocal()
            variances = th.exp(2.0 * log_quotient)
            terms, by_log_std = 0.5 * (variances + squares * precision) - log_quotient - 0.5, variances - 1.0
        weigh = self.loss.weigh
        return weigh(terms).sum(dim=1), (weigh(difference * precision), weigh(by_log_std))


class GaussianHead(Head):
    """A ``DiagGaussianDistribution``; its parameters are ``mean`` and ``log_std``, each of shape (rows, action_dim)."""

    kind: ClassVar[type[Distribution]] = DiagGaussianDistribution
    imitation_gradients: ClassVar[Mapping[type[ImitationLoss], type[ImitationGradient]]] = {
        **dict.fromkeys((MSE, L1, Huber), RegressionImitation),
        Cosine: CosineImitation,
        NLL: NLLImitation,
        KL: GaussianKLImitation,
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
        if log_std.stride(0) == 0:
            # The same for all rows
            log_std = log_std[:1]
        action_dim = mean.shape[1]

        def kept(values: float | tuple[float, ...]) -> th.Tensor:
            # A plain number is made a tensor each time, which takes longer than what is done with it
            return constant(values, mean.dtype, mean.device)

        deviation = actions - mean
        score = deviation * th.exp(log_std * kept(-2.0))
        squares = deviation * score
        at_the_mean = kept(-_LOG_SQRT_2PI * action_dim) - log_std.sum(dim=1)
        value = th.addmv(at_the_mean, squares, kept((-0.5,) * action_dim))
        return LogProb(value, (score, squares.sub_(kept(1.0))))

    def add_entropy_gradient(self, of_parameters: Parameters, parameters: Parameters, weight: float) -> None:
        _, of_log_std = of_parameters
        of_log_std.add_(weight)

    def entropy(self, parameters: Parameters, log_prob: th.Tensor, actions: th.Tensor) -> th.Tensor:
        _, log_std = parameters
        return log_std.sum(dim=1) + (0.5 + _LOG_SQRT_2PI) * log_std.shape[1]

    def mode(self, parameters: Parameters) -> th.Tensor:
        return parameters[0]

    def mode_backward(self, of_mode: th.Tensor, mode: th.Tensor) -> th.Tensor:
        """
        :param of_mode: The gradient with respect to the deterministic actions.
        :param mode: These.
        :return: The gradient with respect to the mean.
        """
        return of_mode

    def unsquashed(self, actions: th.Tensor) -> th.Tensor:
        """
        :param actions: In the units of the policy.
        :return: As ``log_prob`` takes them.
        """
        return actions

    def set_unchecked(self, outputs: Outputs) -> th.Tensor:
        assert outputs.log_std is not None
        return self._set_normal(outputs.actions, outputs.log_std.exp())

    def set_checked(self, outputs: Outputs) -> None:
        self.of_policy.proba_distribution(outputs.actions, outputs.log_std)

    def _set_normal(self, mean: th.Tensor, std: th.Tensor) -> th.Tensor:
        # For whoever looks there, as after the policy's own forward
        self.of_policy.distribution = Normal(mean, std, validate_args=False)
        # Not finite where one of the two is NaN, or the standard deviation 0
        return (mean / std).sum()

"""Arithmetic on Stable-Baselines3's distributions, dimension by dimension of the action, for the imitation losses."""

import torch as th
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    Distribution,
    MultiCategoricalDistribution,
    SquashedDiagGaussianDistribution,
    StateDependentNoiseDistribution,
)


def is_squashed(distribution: Distribution) -> bool:
    """
    :param distribution: The student's distribution.
    :return: Whether its actions go through a tanh, and so are in [-1, 1].
    """
    if isinstance(distribution, StateDependentNoiseDistribution):
        return distribution.bijector is not None
    return isinstance(distribution, SquashedDiagGaussianDistribution)


def log_prob(distribution: Distribution, actions: th.Tensor) -> th.Tensor:
    """
    :param distribution: The student's distribution.
    :param actions: Actions of shape (batch, action_dim) as a buffer has them: floats, also where they are discrete.
    :return: Their log-probabilities, of shape (batch,).
    """
    if isinstance(distribution, CategoricalDistribution):
        actions = actions.long().flatten()
    return distribution.log_prob(actions)


def log_prob_by_dimension(distribution: Distribution, actions: th.Tensor) -> th.Tensor:
    """
    :param distribution: The student's distribution.
    :param actions: As in ``log_prob``.
    :return: The terms, of shape (batch, action_dim), of which ``log_prob`` is the sum.
    """
    if isinstance(distribution, CategoricalDistribution):
        return log_prob(distribution, actions).unsqueeze(1)
    if isinstance(distribution, MultiCategoricalDistribution):
        columns = zip(distribution.distribution, actions.unbind(dim=1), strict=True)
        return th.stack([categorical.log_prob(column) for categorical, column in columns], dim=1)  # type: ignore[no-untyped-call]
    assert isinstance(distribution.distribution, th.distributions.Distribution)
    if isinstance(distribution, StateDependentNoiseDistribution) and distribution.bijector is not None:
        unsquashed = distribution.bijector.inverse(actions)
        terms: th.Tensor = distribution.distribution.log_prob(unsquashed)  # type: ignore[no-untyped-call]
        return terms - distribution.bijector.log_prob_correction(unsquashed)
    return distribution.distribution.log_prob(actions)


def logits_by_dimension(distribution: Distribution, logits: th.Tensor) -> list[tuple[th.Tensor, th.Tensor]]:
    """
    :param distribution: The student's distribution over discrete actions.
    :param logits: Another's logits of shape (batch, k), laid out as in ``TeacherOutput``.
    :return: For each dimension of the action the logits of both, each of shape (batch, number of choices).
    """
    if isinstance(distribution, CategoricalDistribution):
        return [(distribution.distribution.logits, logits)]
    if isinstance(distribution, MultiCategoricalDistribution):
        students = [categorical.logits for categorical in distribution.distribution]
        others = th.split(logits, [student.shape[1] for student in students], dim=1)
        return list(zip(students, others, strict=True))
    assert isinstance(distribution, BernoulliDistribution)
    log_odds = zip(distribution.distribution.logits.unbind(dim=1), logits.unbind(dim=1), strict=True)
    return [(_logits_of_bit(student), _logits_of_bit(other)) for student, other in log_odds]


def _logits_of_bit(log_odds: th.Tensor) -> th.Tensor:
    return th.stack((th.zeros_like(log_odds), log_odds), dim=1)


def gaussian_kl(mean_p: th.Tensor, std_p: th.Tensor, mean_q: th.Tensor, std_q: th.Tensor) -> th.Tensor:
    """
    :param mean_p: Means of the Gaussians p.
    :param std_p: Their standard deviations.
    :param mean_q: Means of the Gaussians q.
    :param std_q: Their standard deviations.
    :return: KL(p || q), element by element.
    """
    return th.log(std_q / std_p) + (std_p**2 + (mean_p - mean_q) ** 2) / (2.0 * std_q**2) - 0.5


def categorical_kl(log_p: th.Tensor, log_q: th.Tensor) -> th.Tensor:
    """
    :param log_p: Finite log-probabilities of the distributions p, choices last.
    :param log_q: Those of the distributions q.
    :return: KL(p || q), without the last axis.
    """
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)

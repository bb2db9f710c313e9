"""
Arithmetic on Stable-Baselines3's distributions, dimension by dimension of the action, for the imitation losses.

Those of sb3-contrib that mask actions are no subclasses of them, and the package need not be there: what counts is of which
PyTorch distributions one consists.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch as th
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    Distribution,
    SquashedDiagGaussianDistribution,
    StateDependentNoiseDistribution,
)
from torch.distributions import Categorical


def is_squashed(distribution: Distribution) -> bool:
    """
    :param distribution: The student's distribution.
    :return: Whether its actions go through a tanh, and so are in [-1, 1].
    """
    if isinstance(distribution, StateDependentNoiseDistribution):
        return distribution.bijector is not None
    return isinstance(distribution, SquashedDiagGaussianDistribution)


def categoricals(distribution: Distribution) -> list[Categorical]:
    """
    :param distribution: The student's distribution.
    :return: Its choice in each dimension of the action, none where it does not choose among numbered actions.
    """
    # sb3-contrib's distributions of several numbers keep them in the plural
    parts: Any = getattr(distribution, "distributions", None) or distribution.distribution
    return [part for part in (parts if isinstance(parts, Sequence) else [parts]) if isinstance(part, Categorical)]


def is_discrete(distribution: Distribution) -> bool:
    """
    :param distribution: The student's distribution.
    :return: Whether its actions are discrete.
    """
    return isinstance(distribution, BernoulliDistribution) or bool(categoricals(distribution))


def log_prob(distribution: Distribution, actions: th.Tensor) -> th.Tensor:
    """
    :param distribution: The student's distribution.
    :param actions: Actions of shape (batch, action_dim) as a buffer has them: floats, also where they are discrete.
    :return: Their log-probabilities, of shape (batch,).
    """
    if isinstance(getattr(distribution, "distribution", None), Categorical):
        actions = actions.long().flatten()
    return distribution.log_prob(actions)


def log_prob_by_dimension(distribution: Distribution, actions: th.Tensor) -> th.Tensor:
    """
    :param distribution: The student's distribution.
    :param actions: As in ``log_prob``.
    :return: The terms, of shape (batch, action_dim), of which ``log_prob`` is the sum.
    """
    if choices := categoricals(distribution):
        columns = zip(choices, actions.unbind(dim=1), strict=True)
        return th.stack([choice.log_prob(column) for choice, column in columns], dim=1)  # type: ignore[no-untyped-call]
    assert isinstance(distribution.distribution, th.distributions.Distribution)
    if isinstance(distribution, StateDependentNoiseDistribution) and distribution.bijector is not None:
        unsquashed = distribution.bijector.inverse(actions)
        terms: th.Tensor = distribution.distribution.log_prob(unsquashed)  # type: ignore[no-untyped-call]
        return terms - distribution.bijector.log_prob_correction(unsquashed)
    return distribution.distribution.log_prob(actions)


class ChoiceLogits(NamedTuple):
    """
    What two say of one dimension of a discrete action.

    :param student: The student's logits, shape (batch, number of choices).
    :param other: The other's.
    :param allowed: Which choices the student has, booleans of the same shape; None where it has all.
    """

    student: th.Tensor
    other: th.Tensor
    allowed: th.Tensor | None = None


def logits_by_dimension(distribution: Distribution, logits: th.Tensor) -> list[ChoiceLogits]:
    """
    :param distribution: The student's distribution over discrete actions.
    :param logits: Another's logits of shape (batch, k), laid out as in ``TeacherOutput``.
    :return: For each dimension of the action the logits of both.
    """
    if isinstance(distribution, BernoulliDistribution):
        log_odds = zip(distribution.distribution.logits.unbind(dim=1), logits.unbind(dim=1), strict=True)
        return [ChoiceLogits(_logits_of_bit(student), _logits_of_bit(other)) for student, other in log_odds]
    choices = categoricals(distribution)
    sizes = [choice.logits.shape[1] for choice in choices]
    if logits.shape[1] < sum(sizes):
        # A masked bit is a choice of two
        others: Any = [_logits_of_bit(other) for other in logits.unbind(dim=1)]
    else:
        others = th.split(logits, sizes, dim=1)
    masks = [getattr(choice, "masks", None) for choice in choices]
    return [ChoiceLogits(choice.logits, other, mask) for choice, other, mask in zip(choices, others, masks, strict=True)]


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


def categorical_kl(log_p: th.Tensor, log_q: th.Tensor, allowed: th.Tensor | None = None) -> th.Tensor:
    """
    :param log_p: Finite log-probabilities of the distributions p, choices last.
    :param log_q: Those of the distributions q.
    :param allowed: Which choices there are, booleans of the same shape; None for all.
    :return: KL(p || q), without the last axis.
    """
    terms = log_p.exp() * (log_p - log_q)
    return (terms if allowed is None else th.where(allowed, terms, 0.0)).sum(dim=-1)

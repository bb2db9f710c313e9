"""How likely the student is to do as the teacher does."""

from dataclasses import dataclass

import torch as th
from stable_baselines3.common.distributions import Distribution

from sb3_rpd.common.distributions import log_prob, log_prob_by_dimension
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses.base import WeightedLoss


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

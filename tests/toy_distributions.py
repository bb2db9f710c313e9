"""Students' distributions and teachers' labels from a few numbers, and a loss of them, in float64."""

import torch as th
from stable_baselines3.common.distributions import DiagGaussianDistribution, StateDependentNoiseDistribution

from sb3_rpd.common.labels import TeacherLabels


def tensor(values):
    return th.tensor(values, dtype=th.float64)


def labels_of(actions, labeled=None, **distribution):
    actions = tensor(actions)
    labeled = [True] * len(actions) if labeled is None else labeled
    return TeacherLabels(actions, th.tensor(labeled), **{name: tensor(values) for name, values in distribution.items()})


def gaussian(mean, std=1.0):
    mean = th.as_tensor(mean, dtype=th.float64)
    log_std = th.as_tensor(std, dtype=th.float64).log().expand(mean.shape[1])
    return DiagGaussianDistribution(mean.shape[1]).proba_distribution(mean, log_std)


def gsde(mean, std=1.0, squash_output=True):
    mean = th.as_tensor(mean, dtype=th.float64)
    distribution = StateDependentNoiseDistribution(mean.shape[1], squash_output=squash_output, epsilon=1e-6)
    features = th.ones(len(mean), 1, dtype=th.float64)
    # SB3 adds epsilon to the variance
    log_std = 0.5 * th.log(th.full((1, mean.shape[1]), float(std), dtype=th.float64) ** 2 - 1e-6)
    return distribution.proba_distribution(mean, log_std, features)


def evaluate(loss, distribution, labels, ratio=None, clip_range=0.2):
    ratio = th.ones(len(labels.actions), dtype=th.float64) if ratio is None else ratio
    return loss(distribution, labels, ratio, clip_range)

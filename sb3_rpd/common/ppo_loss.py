"""The loss of PPO on one minibatch, a pure function that repeats SB3's arithmetic operation by operation."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch as th
from stable_baselines3.common.distributions import Distribution
from torch.nn import functional as F

from sb3_rpd.common.buffers import TeacherRolloutBufferSamples

#: Some hundred times the distance between 1 and the next number in float32.
NARROWEST_CLIP_RANGE = 1e-5


class PolicyEvaluation(NamedTuple):
    """What one forward pass of the policy says of the entries of a minibatch; first axis the batch."""

    values: th.Tensor
    log_prob: th.Tensor
    entropy: th.Tensor | None
    distribution: Distribution


@dataclass(frozen=True)
class PPOLossSettings:
    """
    The settings of PPO's loss for one call of ``train()``; names and meaning are SB3's.

    :param clip_range: Clipping of the probability ratio.
    :param clip_range_vf: Clipping of the value function, None for none.
    :param ent_coef: Weight of the entropy.
    :param vf_coef: Weight of the value loss.
    :param normalize_advantage: Whether advantages are normalized within the minibatch.
    """

    clip_range: float
    clip_range_vf: float | None
    ent_coef: float
    vf_coef: float
    normalize_advantage: bool

    @property
    def is_decided_by_rounding(self) -> bool:
        """Whether something is clipped to so narrow a range that the last bits of a number say if it has a gradient."""
        ranges = (self.clip_range, math.inf if self.clip_range_vf is None else self.clip_range_vf)
        return min(ranges) < NARROWEST_CLIP_RANGE


class PPOLoss(NamedTuple):
    """PPO's loss with its parts; all but ``approx_kl`` and ``clip_fraction`` carry a gradient."""

    total: th.Tensor
    policy: th.Tensor
    value: th.Tensor
    entropy: th.Tensor
    ratio: th.Tensor
    clip_fraction: th.Tensor
    approx_kl: th.Tensor


def ppo_loss(
    batch: TeacherRolloutBufferSamples,
    evaluation: PolicyEvaluation,
    settings: PPOLossSettings,
    mask: th.Tensor | None = None,
) -> PPOLoss:
    """
    PPO's clipped surrogate (https://arxiv.org/abs/1707.06347) with value loss and entropy bonus.

    The order of operations is that of ``stable_baselines3.PPO.train``, with a mask that of ``sb3_contrib.RecurrentPPO.train``,
    so that equal inputs give equal bits.

    :param batch: The minibatch.
    :param evaluation: The present policy's view of the same entries.
    :param settings: Clip ranges and weights.
    :param mask: Which rows are entries and no padding, booleans of shape (batch,); None where all are.
    :return: The loss and its parts; ``approx_kl`` is Schulman's estimator (http://joschu.net/blog/kl-approx.html).
    """

    def entries(rows: th.Tensor) -> th.Tensor:
        return rows if mask is None else rows[mask]

    advantages = batch.advantages
    if settings.normalize_advantage and len(known := entries(advantages)) > 1:
        advantages = (advantages - known.mean()) / (known.std() + 1e-8)

    log_ratio = evaluation.log_prob - batch.old_log_prob
    ratio = th.exp(log_ratio)
    clipped_ratio = th.clamp(ratio, 1 - settings.clip_range, 1 + settings.clip_range)
    policy_loss = -entries(th.min(advantages * ratio, advantages * clipped_ratio)).mean()

    values = evaluation.values.flatten()
    if settings.clip_range_vf is not None:
        values = batch.old_values + th.clamp(values - batch.old_values, -settings.clip_range_vf, settings.clip_range_vf)
    # The same number, but not the same bits in the backward pass
    value_loss = F.mse_loss(batch.returns, values) if mask is None else entries((batch.returns - values) ** 2).mean()

    # Without a closed form of the entropy -log_prob is its one-sample estimate
    entropy = -evaluation.log_prob if evaluation.entropy is None else evaluation.entropy
    entropy_loss = -th.mean(entries(entropy))

    with th.no_grad():
        clip_fraction = th.mean(entries((th.abs(ratio - 1) > settings.clip_range).float()))
        approx_kl = th.mean(entries((th.exp(log_ratio) - 1) - log_ratio))
    total = policy_loss + settings.ent_coef * entropy_loss + settings.vf_coef * value_loss
    return PPOLoss(total, policy_loss, value_loss, entropy_loss, ratio, clip_fraction, approx_kl)

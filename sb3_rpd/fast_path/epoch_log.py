"""What the log says of an epoch, worked out for all of its minibatches at once."""

import math
from typing import Any

import torch as th
from gymnasium import spaces

from sb3_rpd.common.agreement import agreement_by_row
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.ppo_loss import PPOLossSettings
from sb3_rpd.fast_path.gradients import gaussian
from sb3_rpd.fast_path.minibatches import Minibatches
from sb3_rpd.fast_path.networks import Outputs
from sb3_rpd.fast_path.rows import Rows


class EpochLog:
    """
    Statistics by their names in the log, each of shape (minibatches,).

    :param outputs: Those of the policy for the rows of an epoch, each with the parameters of its minibatch; ``log_std`` has
        a row for each minibatch.
    :param log_ratio: The logarithm of the probability ratio of each row.
    :param rows: These rows.
    :param minibatches: How they are cut.
    :param settings: Those of PPO's loss.
    """

    def __init__(
        self, outputs: Outputs, log_ratio: th.Tensor, rows: Rows, minibatches: Minibatches, settings: PPOLossSettings
    ) -> None:
        self._outputs = outputs
        self._rows = rows
        self._minibatches = minibatches
        self._settings = settings
        self._log_ratio = log_ratio
        self._ratio = th.exp(log_ratio)

    def of_ppo(self) -> dict[str, th.Tensor]:
        """:return: PPO's own."""
        (mean, log_std, values), rows, settings = self._outputs, self._rows, self._settings
        clipped_ratio = self._ratio.clamp(1.0 - settings.clip_range, 1.0 + settings.clip_range)
        surrogate = th.min(rows.advantages * self._ratio, rows.advantages * clipped_ratio)
        if settings.clip_range_vf is not None:
            change = (values - rows.old_values).clamp(-settings.clip_range_vf, settings.clip_range_vf)
            values = rows.old_values + change

        by_minibatch = self._minibatches.mean
        policy_loss = -by_minibatch(surrogate)
        value_loss = by_minibatch((values - rows.returns) ** 2)
        entropy_loss = -(log_std.sum(dim=1) + (0.5 + 0.5 * math.log(2.0 * math.pi)) * mean.shape[1])
        return {
            "train/entropy_loss": entropy_loss,
            "train/policy_gradient_loss": policy_loss,
            "train/value_loss": value_loss,
            "train/clip_fraction": by_minibatch(((self._ratio - 1.0).abs() > settings.clip_range).float()),
            "train/approx_kl": by_minibatch(self._ratio - 1.0 - self._log_ratio),
            "train/loss": policy_loss + settings.ent_coef * entropy_loss + settings.vf_coef * value_loss,
        }

    def of_imitation(self, loss: ImitationLoss, action_space: spaces.Space[Any] | None) -> dict[str, th.Tensor]:
        """
        :param loss: The imitation loss.
        :param action_space: The action space of one environment, None to leave the agreement out.
        :return: The imitation loss and the agreement; 0 in minibatches without labels.
        """
        distribution = gaussian(self._outputs.mean, self._minibatches.spread(self._outputs.log_std))
        labels = self._rows.labels
        by_row = {"train/imitation_loss": loss.by_row(distribution, labels, self._ratio, self._settings.clip_range)}
        if action_space is not None:
            by_row["train/agreement"] = agreement_by_row(distribution, labels, action_space)
        return {name: self._minibatches.sum(values * self._rows.label_weights) for name, values in by_row.items()}

    def has_labels(self) -> th.Tensor:
        """:return: Which minibatches have a label."""
        return self._minibatches.sum(self._rows.label_weights) > 0.0

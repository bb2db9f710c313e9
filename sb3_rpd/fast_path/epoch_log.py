"""What the log says of an epoch, worked out for all of its minibatches at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch as th
from gymnasium import spaces

from sb3_rpd.common.agreement import agreement_by_row
from sb3_rpd.common.distributions import is_squashed
from sb3_rpd.common.ppo_loss import PPOLossSettings
from sb3_rpd.fast_path.heads.head import Head, ImitationGradient, Parameters
from sb3_rpd.fast_path.minibatches import Minibatches
from sb3_rpd.fast_path.rows import Rows


class Trained(NamedTuple):
    """
    What the policy said of rows, each with the weights of its minibatch; first axis the rows.

    :param parameters: Those of the distribution over actions.
    :param log_ratio: The logarithm of the probability ratio, shape (rows,).
    :param values: Shape (rows,).
    """

    parameters: Parameters
    log_ratio: th.Tensor
    values: th.Tensor

    @classmethod
    def joined(cls, minibatches: Sequence["Trained"]) -> "Trained":
        """:return: The rows of all minibatches."""
        all_parameters, log_ratios, values = zip(*minibatches, strict=True)
        return cls(tuple(map(th.cat, zip(*all_parameters, strict=True))), th.cat(log_ratios), th.cat(values))


class EpochLog:
    """
    Statistics by their names in the log, each of shape (minibatches,).

    :param head: The policy's.
    :param trained: What the policy said of the rows of an epoch.
    :param rows: These rows.
    :param minibatches: How they are cut.
    :param settings: Those of PPO's loss.
    """

    def __init__(self, head: Head, trained: Trained, rows: Rows, minibatches: Minibatches, settings: PPOLossSettings) -> None:
        self._head = head
        self._trained = trained
        self._rows = rows
        self._minibatches = minibatches
        self._settings = settings
        self._ratio = th.exp(trained.log_ratio)

    def of_ppo(self) -> dict[str, th.Tensor]:
        """:return: PPO's own."""
        (parameters, log_ratio, values), rows, settings = self._trained, self._rows, self._settings
        clipped_ratio = self._ratio.clamp(1.0 - settings.clip_range, 1.0 + settings.clip_range)
        surrogate = th.min(rows.advantages * self._ratio, rows.advantages * clipped_ratio)
        if settings.clip_range_vf is not None:
            change = (values - rows.old_values).clamp(-settings.clip_range_vf, settings.clip_range_vf)
            values = rows.old_values + change

        of_rows = {
            "train/entropy_loss": -self._head.entropy(parameters, log_ratio + rows.old_log_prob, rows.actions),
            "train/policy_gradient_loss": -surrogate,
            "train/value_loss": (values - rows.returns) ** 2,
            "train/clip_fraction": ((self._ratio - 1.0).abs() > settings.clip_range).to(values.dtype),
            "train/approx_kl": self._ratio - 1.0 - log_ratio,
        }
        entropy_loss, policy_loss, value_loss, *_ = means = self._minibatches.means(th.stack([*of_rows.values()]))
        loss = policy_loss + settings.ent_coef * entropy_loss + settings.vf_coef * value_loss
        return {**dict(zip(of_rows, means, strict=True)), "train/loss": loss}

    def of_imitation(self, imitation: ImitationGradient, action_space: spaces.Space[Any] | None) -> dict[str, th.Tensor]:
        """
        :param imitation: The imitation loss with its gradient.
        :param action_space: The action space of one environment, None to leave the agreement out.
        :return: The imitation loss and the agreement; 0 in minibatches without labels.
        """
        parameters = self._trained.parameters
        by_row = {"train/imitation_loss": imitation.by_row(parameters, self._rows, self._ratio)}
        if action_space is not None:
            mode, squashed = self._head.mode(parameters), is_squashed(self._head.of_policy)
            by_row["train/agreement"] = agreement_by_row(mode, self._rows.labels, action_space, is_squashed=squashed)
        return {name: self._minibatches.sum(values * self._rows.label_weights) for name, values in by_row.items()}

    def has_labels(self) -> th.Tensor:
        """:return: Which minibatches have a label."""
        return self._minibatches.sum(self._rows.label_weights) > 0.0

"""The entries of a rollout that a policy's outputs are compared with, prepared for all minibatches at once."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch as th

from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.fast_path.minibatches import Minibatches


class Rows(NamedTuple):
    """
    What the loss needs of some entries and does not depend on the policy; first axis the entries.

    :param actions: The actions taken, shape (rows, action_dim).
    :param old_log_prob: Their log-probabilities when they were taken, shape (rows,).
    :param old_values: Shape (rows,).
    :param advantages: Shape (rows,).
    :param returns: Shape (rows,).
    :param teacher_actions: The teacher's labels, zero where there is none, shape (rows, action_dim).
    :param label_weights: One for a row with a label, zero for one without, and once the minibatches are known the weight
        of the row in the mean over the labeled ones; shape (rows,).
    :param teacher_std: Standard deviation of a teacher that gives it, shape (rows, action_dim).
    :param teacher_logits: Logits of a teacher that gives them, shape (rows, k).
    """

    actions: th.Tensor
    old_log_prob: th.Tensor
    old_values: th.Tensor
    advantages: th.Tensor
    returns: th.Tensor
    teacher_actions: th.Tensor
    label_weights: th.Tensor
    teacher_std: th.Tensor | None
    teacher_logits: th.Tensor | None

    @property
    def labels(self) -> TeacherLabels:
        """The teacher's labels, as the imitation losses take them."""
        return TeacherLabels(self.teacher_actions, self.label_weights > 0.0, self.teacher_std, self.teacher_logits)

    def epoch(self, order: th.Tensor, minibatches: Minibatches, *, normalize_advantage: bool) -> "Rows":
        """
        :param order: Indices of rows.
        :param minibatches: How the rows in this order are cut.
        :param normalize_advantage: Whether advantages are normalized within the minibatch.
        :return: The rows in this order, with all that can be worked out before the policy is asked.
        """
        rows = self._map(lambda part: part.index_select(0, order))
        if normalize_advantage:
            rows = rows._replace(advantages=minibatches.map(_normalized, rows.advantages))
        return rows._replace(label_weights=minibatches.map(_over_their_sum, rows.label_weights))

    def split(self, minibatches: Minibatches) -> list["Rows"]:
        """
        :param minibatches: How these rows are cut.
        :return: The rows of each minibatch, without a copy.
        """
        parts = [len(minibatches.sizes) * [None] if part is None else th.split(part, minibatches.batch_size) for part in self]
        return [Rows._make(minibatch) for minibatch in zip(*parts, strict=True)]

    def first(self, n_rows: int) -> "Rows":
        """:return: The first rows, without a copy."""
        return self._map(lambda part: part[:n_rows])

    def _map(self, function: Callable[[th.Tensor], th.Tensor]) -> "Rows":
        return Rows._make(None if part is None else function(part) for part in self)


def rollout_rows(buffer: TeacherLabelsMixin, device: th.device) -> Rows:
    """
    :param buffer: A complete rollout, flattened.
    :param device: Where the rows are to be.
    :return: All of its rows, in the buffer's order.
    """
    labels = buffer.labels(np.arange(len(buffer.actions)))
    columns = (buffer.actions, buffer.log_probs, buffer.values, buffer.advantages, buffer.returns)
    actions, *scalars = (th.as_tensor(column.astype(np.float32, copy=False), device=device) for column in columns)
    of_teacher = (labels.actions, labels.labeled.float(), labels.std, labels.logits)
    return Rows._make((actions, *(scalar.flatten() for scalar in scalars), *of_teacher))


def _normalized(advantages: th.Tensor) -> th.Tensor:
    if advantages.shape[1] == 1:
        return advantages
    return (advantages - advantages.mean(dim=1, keepdim=True)) / (advantages.std(dim=1, keepdim=True) + 1e-8)


def _over_their_sum(labeled: th.Tensor) -> th.Tensor:
    return labeled / labeled.sum(dim=1, keepdim=True).clamp(min=1.0)

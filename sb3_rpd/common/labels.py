"""What the teacher said about a minibatch."""

from dataclasses import dataclass

import torch as th


@dataclass(frozen=True)
class TeacherLabels:
    """
    What the teacher said about a minibatch. Rows without a label are zero-filled, never NaN.

    :param actions: The teacher's actions, of shape (batch, action_dim), in the units of the student's distribution:
        the environment's, or [-1, 1] for a policy with ``squash_output``. Discrete actions come as floats.
    :param labeled: Which rows the teacher labeled, booleans of shape (batch,).
    :param std: Standard deviation of a Gaussian teacher, of shape (batch, action_dim), 1 in unlabeled rows.
    :param logits: Logits of a discrete teacher, of shape (batch, k), as in ``TeacherOutput``.
    """

    actions: th.Tensor
    labeled: th.Tensor
    std: th.Tensor | None = None
    logits: th.Tensor | None = None


def labeled_mean(values: th.Tensor, labeled: th.Tensor) -> th.Tensor:
    """
    :param values: Shape (batch,).
    :param labeled: Which rows have a label, booleans of shape (batch,).
    :return: The mean over these rows; zero when there are none.
    """
    # Dividing by the count stays on the device; indexing by a mask would wait for it to tell the size
    return th.where(labeled, values, 0.0).sum() / labeled.sum().clamp(min=1)

"""How the rows of an epoch are cut into minibatches, and arithmetic on all minibatches at once."""

from collections.abc import Callable
from dataclasses import dataclass

import torch as th


@dataclass(frozen=True)
class Minibatches:
    """
    Consecutive minibatches of equal size, the last of which may be smaller.

    :param n_rows: Rows of all of them together.
    :param batch_size: Rows of each.
    """

    n_rows: int
    batch_size: int

    @property
    def sizes(self) -> list[int]:
        """The number of rows of each minibatch."""
        full, rest = divmod(self.n_rows, self.batch_size)
        return [self.batch_size] * full + [rest] * (rest > 0)

    def map(self, function: Callable[[th.Tensor], th.Tensor], rows: th.Tensor) -> th.Tensor:
        """
        :param function: From a tensor of shape (minibatches, rows of each, ...) to one of shape (minibatches, ...).
        :param rows: Shape (n_rows, ...).
        :return: Its results, put together: one number for each minibatch, or for each row if it gives that many.
        """
        full = self.n_rows - self.n_rows % self.batch_size
        groups = []
        if full:
            groups.append(rows[:full].view(-1, self.batch_size, *rows.shape[1:]))
        if full < self.n_rows:
            groups.append(rows[full : self.n_rows].unsqueeze(0))
        return th.cat([function(group).flatten() for group in groups])

    def means(self, rows: th.Tensor) -> th.Tensor:
        """
        :param rows: Shape (k, n_rows).
        :return: The means of each minibatch, shape (k, minibatches).
        """
        full = self.n_rows - self.n_rows % self.batch_size
        means = rows[:, :full].view(len(rows), full // self.batch_size, self.batch_size).mean(dim=2)
        return means if full == self.n_rows else th.cat((means, rows[:, full:].mean(dim=1, keepdim=True)), dim=1)

    def sum(self, rows: th.Tensor) -> th.Tensor:
        """
        :param rows: Shape (n_rows,).
        :return: The sum of each minibatch.
        """
        return self.map(lambda group: group.sum(dim=1), rows)

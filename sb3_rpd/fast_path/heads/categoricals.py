"""The categorical distributions of a ``MultiCategoricalDistribution``, for whoever looks at them."""

from collections.abc import Sequence
from functools import cached_property
from typing import overload

import torch as th
from torch.distributions import Categorical


class Categoricals(Sequence[Categorical]):
    """
    One for each dimension of an action, made when the first is asked for: each takes as long as a layer of a small network.

    :param logits: Those of all dimensions side by side, shape (rows, columns).
    :param sizes: How many columns belong to each.
    """

    def __init__(self, logits: th.Tensor, sizes: Sequence[int]) -> None:
        self.logits = logits
        self._sizes = sizes

    def __len__(self) -> int:
        return len(self._sizes)

    @overload
    def __getitem__(self, index: int) -> Categorical: ...

    @overload
    def __getitem__(self, index: slice) -> list[Categorical]: ...

    def __getitem__(self, index: int | slice) -> Categorical | list[Categorical]:
        return self._made[index]

    @cached_property
    def _made(self) -> list[Categorical]:
        return [Categorical(logits=part, validate_args=False) for part in th.split(self.logits, [*self._sizes], dim=1)]

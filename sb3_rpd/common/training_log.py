"""Collects what a call of ``train()`` shows, without waiting for the device at every minibatch."""

from collections import defaultdict

import numpy as np
import torch as th


class TrainingLog:
    """Scalars by name, one for each minibatch, kept in tensors of shape (minibatches,) until their mean is asked for."""

    def __init__(self) -> None:
        self._scalars: defaultdict[str, list[th.Tensor]] = defaultdict(list)

    def add(self, name: str, scalar: th.Tensor | float) -> None:
        """
        :param name: Name of the statistic.
        :param scalar: Its value on one minibatch.
        """
        self.extend(name, th.as_tensor(scalar).reshape(1))

    def extend(self, name: str, scalars: th.Tensor) -> None:
        """
        :param name: Name of the statistic.
        :param scalars: Its values on several minibatches, shape (minibatches,).
        """
        if len(scalars):
            self._scalars[name].append(scalars.detach())

    def restart(self, name: str) -> None:
        """
        Forget what was collected under a name.

        :param name: Name of the statistic.
        """
        self._scalars.pop(name, None)

    def means(self) -> dict[str, float]:
        """:return: The mean of each statistic over the minibatches, taken in float64 as SB3 does."""
        return {name: float(np.mean(th.cat(scalars).double().cpu().numpy())) for name, scalars in self._scalars.items()}

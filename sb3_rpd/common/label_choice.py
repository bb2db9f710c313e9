"""Which entries of a rollout the teacher is asked about."""

from copy import deepcopy

import numpy as np


class LabelChoice:
    """
    Chooses every k-th entry of each environment, or a random fraction of all entries.

    :param every: Ask about each environment at every k-th step. The environments take turns, so that each step has
        about the same number of queries.
    :param fraction: Ask about each entry with this probability.
    :param generator: Draws for ``fraction``. It is not the student's, so that the student's randomness is the same with
        and without labels.
    :raises ValueError: if ``every`` is below 1, ``fraction`` not in (0, 1], or both are used.
    """

    def __init__(self, every: int, fraction: float, generator: np.random.Generator) -> None:
        if every < 1 or int(every) != every:
            raise ValueError(f"label_every must be a whole number of steps, at least 1; it is {every!r}.")
        if not 0.0 < fraction <= 1.0:
            raise ValueError(
                f"label_fraction must be in (0, 1]; it is {fraction!r}. To switch the teacher off, use imitation_coef=0.0."
            )
        if every > 1 and fraction < 1.0:
            raise ValueError("label_every and label_fraction are two ways to ask the teacher less often; use one of them.")
        self.every = int(every)
        self.fraction = fraction
        self._generator = generator

    def __call__(self, step: int, n_envs: int) -> np.ndarray:
        """
        :param step: How many steps the environments have made before this one.
        :param n_envs: Number of environments.
        :return: Shape (n_envs,), bool: which environments' entries to ask about.
        """
        if self.every == 1 and self.fraction == 1.0:
            return np.ones(n_envs, dtype=bool)
        if self.fraction < 1.0:
            return self._generator.random(n_envs) < self.fraction
        turns = (step + np.arange(n_envs)) % self.every
        return np.equal(turns, 0)

    def ahead(self, step: int, n_steps: int, n_envs: int) -> np.ndarray:
        """
        What it will say, without saying it: nothing is drawn from the generator.

        :param step: The first step; see above.
        :param n_steps: How many steps.
        :param n_envs: Number of environments.
        :return: Shape (n_steps, n_envs), bool.
        """
        same = LabelChoice(self.every, self.fraction, deepcopy(self._generator))
        return np.array([same(step + later, n_envs) for later in range(n_steps)], dtype=bool).reshape(n_steps, n_envs)

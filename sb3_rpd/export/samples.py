"""Observations to try an exported student with."""

from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.errors import ExportError

#: A Box whose bounds are further apart is not sampled between them: such bounds mostly stand for "any number".
_WIDEST = 1_000.0
#: Standard deviations, in turn: near the middle of the statistics, in their tails, and where VecNormalize clips.
_SCALES = np.array([0.3, 1.0, 3.0, 30.0])


def sample_observations(space: spaces.Space[Any], statistics: Any, n: int, generator: np.random.Generator) -> np.ndarray:
    """
    :param space: The space of one array of an observation.
    :param statistics: ``VecNormalize``'s of it, None if it has none.
    :param n: How many.
    :param generator: Draws them.
    :return: Shape (n, *space.shape), in the space's dtype.
    :raises ExportError: if Stable-Baselines3 has no policy for such a space.
    """
    if isinstance(space, spaces.Box):
        return _sample_box(space, statistics, n, generator).astype(space.dtype)
    if isinstance(space, spaces.Discrete):
        return generator.integers(space.n, size=n)
    if isinstance(space, spaces.MultiDiscrete):
        return generator.integers(space.nvec, size=(n, *space.nvec.shape))
    if isinstance(space, spaces.MultiBinary):
        return generator.integers(2, size=(n, *space.shape)).astype(space.dtype)
    raise ExportError(f"Observations of a {type(space).__name__} space cannot be exported.")


def _sample_box(space: spaces.Box, statistics: Any, n: int, generator: np.random.Generator) -> np.ndarray:
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    if np.issubdtype(space.dtype, np.integer):
        return np.asarray(np.floor(low + generator.random((n, *space.shape)) * (high - low + 1.0)))
    is_narrow = high - low <= _WIDEST
    uniform = np.where(is_narrow, low, 0.0) + generator.random((n, *space.shape)) * np.where(is_narrow, high - low, 1.0)
    if statistics is None:
        mean, std = 0.0, 1.0
    else:
        mean, std = statistics.mean, np.sqrt(statistics.var)
    scales = np.resize(_SCALES, n).reshape(-1, *(1 for _ in space.shape))
    around = np.clip(mean + std * scales * generator.standard_normal((n, *space.shape)), low, high)
    return np.asarray(np.where(is_narrow & (statistics is None), uniform, around))

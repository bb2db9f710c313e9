"""Statistics of the columns of demonstrations, as LeRobot has them."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

#: Minimum, maximum, mean, standard deviation, quantiles and count of one column, by LeRobot's names for them.
Statistics: TypeAlias = dict[str, np.ndarray]

#: The quantiles, by LeRobot's names for them.
QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}


def describe_vectors(rows: np.ndarray) -> Statistics:
    """
    :param rows: Numbers or booleans of shape (n, k).
    :return: Float64 arrays of shape (k,), and ``count`` of shape (1,). Quantiles are interpolated linearly.
    """
    values = np.asarray(rows, dtype=np.float64)
    statistics = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    statistics.update({name: np.quantile(values, share, axis=0) for name, share in QUANTILES.items()})
    return {**statistics, "count": np.array([len(values)])}


def describe_images(images: np.ndarray) -> Statistics:
    """
    :param images: uint8 of shape (n, height, width, 3).
    :return: The same of all pixels of a channel, in [0, 1], as arrays of shape (3, 1, 1); ``count`` is the number of images.
    """
    # there are 256 values and millions of pixels
    counts = np.stack([np.bincount(images[..., channel].ravel(), minlength=256) for channel in range(3)])
    values, total = np.arange(256.0), counts[0].sum()
    mean = counts @ values / total
    found = {
        "min": (counts > 0).argmax(axis=1),
        "max": 255 - (counts[:, ::-1] > 0).argmax(axis=1),
        "mean": mean,
        "std": np.sqrt((counts * (values - mean[:, np.newaxis]) ** 2).sum(axis=1) / total),
        **{name: _quantile(counts.cumsum(axis=1), share) for name, share in QUANTILES.items()},
    }
    scaled = {name: np.asarray(value, dtype=np.float64).reshape(3, 1, 1) / 255 for name, value in found.items()}
    return {**scaled, "count": np.array([len(images)])}


def _quantile(cumulated: np.ndarray, share: float) -> np.ndarray:
    """The quantile of each row's values, given how many are at most 0, 1, 2, ...; interpolated linearly."""
    rank = share * (cumulated[0, -1] - 1)
    below, above = ((cumulated <= bound).sum(axis=1) for bound in (np.floor(rank), np.ceil(rank)))
    return np.asarray(below + (rank - np.floor(rank)) * (above - below))


def merge(parts: Sequence[Statistics]) -> Statistics:
    """
    Statistics of several parts together, as LeRobot merges them: exact but for the quantiles, which are means of the parts'.

    :param parts: The statistics of each part.
    :return: Theirs.
    """
    counts = np.array([part["count"][0] for part in parts], dtype=np.float64)

    def average(values: list[np.ndarray]) -> np.ndarray:
        return np.asarray(np.average(np.stack(values), axis=0, weights=counts))

    mean = average([part["mean"] for part in parts])
    variance = average([part["std"] ** 2 + (part["mean"] - mean) ** 2 for part in parts])
    return {
        "min": np.min([part["min"] for part in parts], axis=0),
        "max": np.max([part["max"] for part in parts], axis=0),
        "mean": mean,
        "std": np.sqrt(variance),
        **{name: average([part[name] for part in parts]) for name in QUANTILES},
        "count": np.array([int(counts.sum())]),
    }

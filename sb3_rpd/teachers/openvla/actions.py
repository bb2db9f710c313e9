"""From the logits of action words to actions in the units of the data that OpenVLA was trained on, and back to words."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

#: What may be asked of ``decode``.
DECODINGS = ("greedy", "mean")


def bin_values(bins: int) -> np.ndarray:
    """
    What each of the action words stands for.

    The ``bins`` edges of an even grid on [-1, 1] enclose ``bins - 1`` intervals, and an action word means the middle of one.
    The last word of the vocabulary means the lowest interval. There is one word more than intervals: the first two both
    mean the highest.

    :param bins: The number of action words.
    :return: The value of each, first word first, of shape (bins,), in [-1, 1].
    """
    edges = np.linspace(-1.0, 1.0, bins)
    centers = (edges[:-1] + edges[1:]) / 2
    values: np.ndarray = centers[np.clip(np.arange(bins)[::-1], 0, bins - 2)]
    return values


def words_for(normalized: np.ndarray, bins: int) -> np.ndarray:
    """
    The action words that training asks for: those whose interval of the grid (see ``bin_values``) the numbers are in.

    As in OpenVLA's tokenizer each interval has its lower edge, and 1 itself is the first word.

    :param normalized: Actions of any shape, in [-1, 1].
    :param bins: The number of action words.
    :return: Where the words are among the action words, int64 of the same shape.
    """
    words: np.ndarray = bins - np.digitize(normalized, np.linspace(-1.0, 1.0, bins))
    return words


@dataclass(frozen=True)
class ActionDecoder:
    """
    Turns logits into actions: value = scale * (value of the word) + offset, in each dimension.

    :param scale: Shape (action_dim,).
    :param offset: Shape (action_dim,).
    :param low: The least number of each dimension but for rare ones (the 1st percentile of the data), shape (action_dim,).
    :param high: The largest likewise (the 99th percentile).
    :param decode: "greedy" for the likeliest word, "mean" for the mean over the words.
    """

    scale: np.ndarray
    offset: np.ndarray
    low: np.ndarray
    high: np.ndarray
    decode: str = "greedy"

    @classmethod
    def from_statistics(cls, statistics: Mapping[str, Any], decode: str = "greedy") -> "ActionDecoder":
        """
        Undo the normalization of a data set, in which -1 and 1 are its 1st and 99th percentile.

        :param statistics: ``q01``, ``q99`` and, if only some dimensions are normalized, ``mask``.
        :param decode: One of ``DECODINGS``.
        """
        low, high = np.asarray(statistics["q01"], dtype=np.float64), np.asarray(statistics["q99"], dtype=np.float64)
        normalized = np.asarray(statistics.get("mask", np.ones(low.shape)), dtype=bool)
        scale = np.where(normalized, (high - low) / 2, 1.0)
        offset = np.where(normalized, (high + low) / 2, 0.0)
        return cls(scale, offset, low, high, decode)

    @property
    def action_dim(self) -> int:
        """Number of dimensions of an action."""
        return len(self.scale)

    def normalize(self, actions: np.ndarray) -> np.ndarray:
        """
        What a network is trained to say: the inverse of un-normalizing.

        :param actions: Shape (n, action_dim), in the units of the data set.
        :return: The same in [-1, 1]; 0 in a dimension that is constant. What is rarer than the percentiles is clipped.
        """
        constant = self.scale == 0
        normalized = (actions - self.offset) / np.where(constant, 1.0, self.scale)
        clipped: np.ndarray = np.clip(np.where(constant, 0.0, normalized), -1.0, 1.0)
        return clipped

    def __call__(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Decode a batch.

        :param logits: Shape (n, action_dim, number of action words).
        :return: Actions, and the standard deviations of the distribution over the words' values: both float64, of shape
            (n, action_dim), in the units of the data set.
        """
        values = bin_values(logits.shape[2])
        weights = np.exp(logits.astype(np.float64) - logits.max(axis=2, keepdims=True))
        probabilities = weights / weights.sum(axis=2, keepdims=True)
        mean = probabilities @ values
        # around the mean, not as a difference of squares: exact where the distribution is narrow
        variance = (probabilities * (values - mean[..., None]) ** 2).sum(axis=2)
        chosen = mean if self.decode == "mean" else values[logits.argmax(axis=2)]
        return self.scale * chosen + self.offset, np.abs(self.scale) * np.sqrt(variance)

"""Noise on the actions of a demonstrator, so that its demonstrations show how to recover."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from gymnasium import spaces

#: Makes a noisy action of a clean one, both flat; called once for each step of an episode.
Disturb: TypeAlias = Callable[[np.ndarray], np.ndarray]

# how long a flipped gripper stays so, in steps
_FLIP_LENGTHS = (2, 5)


@dataclass(frozen=True)
class ActionNoise:
    """
    Gaussian noise that is correlated over time, so that it leads somewhere, and comes in bursts, so that there is calm in
    which to recover. The noisy action acts, the clean one is the label.

    :param levels: Standard deviations within a burst, in units of half the action space's width. Each episode has one of
        them, in turn.
    :param weights: Factor of each dimension of the action; None for 1 in each.
    :param gripper_flips: Chance, in each step and for a level of 1, that the last dimension, the gripper, goes to one of its
        ends for 2 to 4 steps. Other noise leaves that dimension alone then.
    :param correlation: Of a step's noise with that of the next, within a burst.
    :param switching: Chance, in each step, that a burst ends, or that one begins.
    :param calm: The level between bursts, as a share of the level within; uncorrelated.
    :raises ValueError: if a setting is out of its range.
    """

    levels: Sequence[float] = (0.0,)
    weights: Sequence[float] | None = None
    gripper_flips: float = 0.0
    correlation: float = 0.7
    switching: float = 0.1
    calm: float = 0.15

    def __post_init__(self) -> None:
        if not len(self.levels) or min(self.levels) < 0:
            raise ValueError(f"The noise levels are {list(self.levels)}: one or more that are not negative are needed.")
        for name in ("gripper_flips", "correlation", "switching", "calm"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} is not between 0 and 1.")

    def start(self, level: float, space: spaces.Space, rng: np.random.Generator) -> Disturb:
        """
        Begin an episode.

        :param level: Its level.
        :param space: The action space.
        :param rng: Where its noise comes from.
        :return: What disturbs its actions, one after the other.
        :raises ValueError: if there is to be noise, and the space is no Box with bounds.
        """
        if level == 0:
            return lambda action: action
        if not (isinstance(space, spaces.Box) and space.is_bounded()):
            raise ValueError(f"Noise is measured by the width of a Box with bounds, and the action space is {space}.")
        return _Process(self, level, space, rng)


class _Process:
    """The noise of one episode."""

    def __init__(self, noise: ActionNoise, level: float, space: spaces.Box, rng: np.random.Generator) -> None:
        self.noise = noise
        self.level = level
        self.rng = rng
        self.low, self.high = space.low.ravel().astype(np.float64), space.high.ravel().astype(np.float64)
        weights = np.ones(len(self.low)) if noise.weights is None else np.array(noise.weights, dtype=np.float64)
        if weights.shape != self.low.shape:
            raise ValueError(f"The noise has {len(weights)} weights, and an action {len(self.low)} dimensions.")
        if noise.gripper_flips:
            weights[-1] = 0.0
        self.scale = level * weights * (self.high - self.low) / 2
        self.correlated = np.zeros(len(self.low))
        self.is_burst = True
        self.flip_left = 0
        self.flipped_to = 0.0

    def __call__(self, action: np.ndarray) -> np.ndarray:
        noise, rng = self.noise, self.rng
        fresh = rng.standard_normal(len(action))
        if rng.random() < noise.switching:
            self.is_burst = not self.is_burst
        self.correlated = noise.correlation * self.correlated + np.sqrt(1 - noise.correlation**2) * fresh
        noisy = action + self.scale * (self.correlated if self.is_burst else noise.calm * fresh)
        if noise.gripper_flips:
            noisy[-1] = self._gripper(noisy[-1])
        return np.clip(noisy, self.low, self.high).astype(action.dtype)

    def _gripper(self, wanted: float) -> float:
        if self.flip_left == 0 and self.rng.random() < self.noise.gripper_flips * self.level:
            self.flip_left = int(self.rng.integers(*_FLIP_LENGTHS))
            self.flipped_to = float(self.rng.choice([self.low[-1], self.high[-1]]))
        if self.flip_left == 0:
            return wanted
        self.flip_left -= 1
        return self.flipped_to

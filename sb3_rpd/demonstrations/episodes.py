"""One recorded episode, before it is written."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Episode:
    """
    What happened in n steps of one episode, those that were kept.

    :param instruction: What the robot was told to do.
    :param images: What each camera saw before each step, by its name: uint8 (n, height, width, 3).
    :param vectors: Other observations before each step, by name: float32 (n, k).
    :param actions: The labels, (n, d): what the demonstrator wanted to do.
    :param executed_actions: What was done, (n, d).
    :param rewards: float32 (n,).
    :param dones: Whether the step ended the episode, bool (n,).
    :param successes: Whether the step led to success, bool (n,).
    :param steps: Which of the episode's steps it was, int64 (n,).
    :param success: Whether the whole episode ended in success; None where the environment does not say.
    :param length: How many steps the episode had, kept or not.
    :param seed: What the environment was reset with.
    :param noise: The level of the noise on the actions.
    :param recording: Which recording of its folder it belongs to.
    :param attempt: Which of that recording's attempts it was: only successes may be wanted.
    :param env_states: ManiSkill2's states before each step and after the last, float32 (length + 1, s), if all steps are kept.
    """

    instruction: str
    images: dict[str, np.ndarray]
    vectors: dict[str, np.ndarray]
    actions: np.ndarray
    executed_actions: np.ndarray
    rewards: np.ndarray
    dones: np.ndarray
    successes: np.ndarray
    steps: np.ndarray
    success: bool | None
    length: int
    seed: int
    noise: float
    recording: int = 0
    attempt: int = 0
    env_states: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def origin(self) -> dict[str, Any]:
        """What is to be known to play or to count it again, by name."""
        names = ("recording", "attempt", "seed", "noise", "success")
        return {name: getattr(self, name) for name in names}

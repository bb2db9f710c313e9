"""A small environment that can be seen: a dot that is to be brought to the middle of a picture."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

SIZE = 16


class PaintedEnv(gym.Env):
    """
    The observation is the dot's position in [-1, 1], which the first two numbers of an action move; the third is a gripper
    that does nothing. The dot is in the middle, and the episode a success, where no coordinate is more than 0.1 from 0.

    :param max_steps: The time limit.
    :ivar rendered: How many frames were rendered.
    """

    metadata = {"render_fps": 10, "render_modes": ["rgb_array"]}  # noqa: RUF012 (as in gymnasium)
    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    instruction = "go to the middle"

    def __init__(self, max_steps: int = 20) -> None:
        self.render_mode = "rgb_array"
        self.max_steps = max_steps
        self.rendered = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32)
        self.steps = 0
        return self.position.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        self.position = np.clip(self.position + 0.2 * action[:2], -1.0, 1.0).astype(np.float32)
        self.steps += 1
        is_success = bool(np.abs(self.position).max() < 0.1)
        reward = -float(np.abs(self.position).max())
        return self.position.copy(), reward, is_success, self.steps >= self.max_steps, {"is_success": is_success}

    def render(self) -> np.ndarray:  # type: ignore[override]
        self.rendered += 1
        return paint(self.position)


def paint(position: np.ndarray) -> np.ndarray:
    """:return: What a ``PaintedEnv`` renders with its dot there: uint8 (SIZE, SIZE, 3)."""
    frame = np.full((SIZE, SIZE, 3), (40, 80, 120), np.uint8)
    column, row = np.round((position + 1) / 2 * (SIZE - 3)).astype(int)
    frame[row : row + 3, column : column + 3] = (255, 0, 200)
    return frame


def to_the_middle(observations: np.ndarray) -> np.ndarray:
    """A teacher for a ``PaintedEnv``: half of the way, and a gripper that is closed."""
    return np.column_stack([np.clip(-2.5 * observations, -1.0, 1.0), np.full(len(observations), -1.0)])


def make_teacher() -> Callable[[np.ndarray], np.ndarray]:
    """That teacher, for a command line."""
    return to_the_middle

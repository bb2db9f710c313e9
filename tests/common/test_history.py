"""The memory of past observations, in an environment that counts."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd.common.history import HistoryWrapper, read_past
from sb3_rpd.common.wrappers import TeacherActionWrapper


class CountingEnv(gym.Env):
    """Counts its steps, from 100 on in the first episode, from 200 on in the second, ..."""

    observation_space = spaces.Box(0, 1000, (1,))
    action_space = spaces.Discrete(2)
    episode = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.episode += 1
        # one array, changed in place: a memory must copy
        self.count = np.full(1, 100.0 * self.episode, dtype=np.float32)
        return self.count, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.count += 1
        return self.count, 0.0, False, False, {}


def count(env: gym.Env) -> np.ndarray:
    return env.unwrapped.count


def test_history_is_oldest_first_and_starts_with_the_first_value() -> None:
    env = HistoryWrapper(CountingEnv(), count, length=2)
    env.reset()
    assert env.past.tolist() == [[100], [100]]
    seen = []
    for _ in range(3):
        env.step(0)
        seen.append(env.past.tolist())
    assert seen == [[[100], [100]], [[100], [101]], [[101], [102]]]


def test_nothing_of_the_last_episode_is_left() -> None:
    env = HistoryWrapper(CountingEnv(), count, length=2)
    env.reset()
    for _ in range(5):
        env.step(0)
    env.reset()
    assert env.past.tolist() == [[200], [200]]


def test_past_reaches_the_teacher() -> None:
    env = TeacherActionWrapper(HistoryWrapper(CountingEnv(), count, length=1), observation={"x": count, "x_past": read_past})
    env.reset()
    info = env.step(0)[-1]
    assert info["teacher"]["observation"]["x"].tolist() == [101]
    assert info["teacher"]["observation"]["x_past"].tolist() == [[100]]


def test_empty_history() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        HistoryWrapper(CountingEnv(), count, length=0)

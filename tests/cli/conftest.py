"""A folder to train and to evaluate in, with an environment, a teacher and settings."""

import sys
from pathlib import Path

import pytest

PARTS = """
import gymnasium as gym
import numpy as np


class Pole(gym.Wrapper):
    def step(self, action):
        observation, reward, terminated, truncated, info = self.env.step(action)
        return observation, reward, terminated, truncated, {**info, "is_success": truncated}

    # CartPole itself draws with pygame, which is an extra of gymnasium
    render_mode = "rgb_array"

    def render(self):
        return np.full((8, 8, 3), 100, np.uint8)


def pole():
    return Pole(gym.make("CartPole-v1", max_episode_steps=40))


def teacher():
    return lambda observations: (observations[:, 2] + observations[:, 3] > 0).astype(int)
"""
SETTINGS = """
env: cli_parts:pole
teacher: cli_parts:teacher
n_envs: 4
normalize: true
n_steps: 32
batch_size: 32
n_epochs: 2
learning_rate: 1e-3
imitation_coef: lin_5.0
evaluate_every: 128
evaluation_episodes: 8
device: cpu
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a module and a settings file in it."""
    (tmp_path / "cli_parts.py").write_text(PARTS)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.delitem(sys.modules, "cli_parts", raising=False)
    return tmp_path

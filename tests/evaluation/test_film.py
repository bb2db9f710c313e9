"""Frames of an episode, in an environment whose frames say which step they show."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from PIL import Image
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from sb3_rpd.evaluation.film import film_episode, write_gif, write_strip


class Counted(gym.Env):
    """Episodes of four steps; a frame is as bright as ten times the number of its step plus its episode."""

    observation_space = spaces.Box(-1.0, 1.0, (1,))
    action_space = spaces.Box(-1.0, 1.0, (1,))
    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012

    def __init__(self, render_mode: str | None = "rgb_array") -> None:
        self.render_mode = render_mode
        self.episode = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode += 1
        self.steps = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.zeros(1, np.float32), 0.0, False, self.steps == 4, {}

    def render(self) -> np.ndarray:
        return np.full((6, 8, 3), 10 * self.steps + self.episode, np.uint8)


def stand(observations: np.ndarray) -> np.ndarray:
    return np.zeros_like(observations)


def brightness(frames: list[np.ndarray]) -> list[int]:
    assert all((frame == frame.flat[0]).all() for frame in frames)
    return [int(frame.flat[0]) for frame in frames]


def test_one_episode_is_filmed_from_its_first_state_to_its_last() -> None:
    frames = film_episode(stand, VecMonitor(DummyVecEnv([Counted])))
    assert brightness(frames) == [1, 11, 21, 31, 41]
    assert frames[0].shape == (6, 8, 3)


def test_strip_shows_the_first_the_last_and_what_is_between(tmp_path: Path) -> None:
    frames = [np.full((2, 3, 3), i, np.uint8) for i in range(101)]
    write_strip(frames, tmp_path / "strip.png", n_frames=5)
    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (2, 15, 3)
    assert strip[0, ::3, 0].tolist() == [0, 25, 50, 75, 100]
    # no frame twice, where there are fewer
    write_strip(frames[:2], tmp_path / "strip.png", n_frames=5)
    assert np.asarray(Image.open(tmp_path / "strip.png")).shape == (2, 6, 3)


def test_gif_has_each_frame_and_is_no_wider_than_it_may(tmp_path: Path) -> None:
    frames = [np.full((30, 60, 3), 80 * i, np.uint8) for i in range(4)]
    write_gif(frames, tmp_path / "film.gif", seconds_per_frame=0.1, width=40)
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.n_frames, film.size, film.info["duration"]) == (4, (40, 20), 100)
        seen = []
        for i in range(4):
            film.seek(i)
            seen.append(film.convert("L").getpixel((5, 5)))
    assert seen == [0, 80, 160, 240]


def test_what_does_not_render_is_refused() -> None:
    with pytest.raises(ValueError, match="a DummyVecEnv with render_mode=None"):
        film_episode(stand, DummyVecEnv([lambda: Counted(None)]))

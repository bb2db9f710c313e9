"""Frames of an episode, and the pictures that are made of them."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.evaluation.teacher_evaluation import evaluate_teacher


class _Camera(gym.Wrapper[Any, Any, Any, Any]):
    """Keeps what ``render()`` gives in the first episode."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.frames: list[np.ndarray] = []
        self._is_filming = True

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        # a vectorized environment resets itself after the last step
        self._is_filming = not self.frames
        observation, info = self.env.reset(**kwargs)
        self._film()
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        self._film()
        return result

    def _film(self) -> None:
        if self._is_filming:
            self.frames.append(np.asarray(self.env.render(), dtype=np.uint8))


def film_episode(teacher: Any, env: VecEnv, *, seed: int | None = 0) -> list[np.ndarray]:
    """
    Let a teacher or a ``Student`` act for one episode, and film it.

    :param teacher: Who acts: whatever ``evaluate_teacher`` takes.
    :param env: A ``DummyVecEnv``, or wrappers around one, whose environment has ``render_mode="rgb_array"``. Only the first
        environment is used.
    :param seed: Seed of the episode.
    :return: The frames, of shape (height, width, 3), uint8: one of the first state, one after each step.
    :raises ValueError: if the environment does not render, or is in another process.
    """
    venv = env.unwrapped
    if not isinstance(venv, DummyVecEnv) or venv.render_mode != "rgb_array":
        raise ValueError(
            f"This environment cannot be filmed: a DummyVecEnv with render_mode='rgb_array' can, and this is a "
            f"{type(venv).__name__} with render_mode={venv.render_mode!r}."
        )
    camera = _Camera(venv.envs[0])
    evaluate_teacher(teacher, camera, 1, seed=seed, needs_success=False)
    return camera.frames


def write_strip(frames: list[np.ndarray], path: str | Path, n_frames: int = 8) -> None:
    """
    Write frames of an episode side by side. Needs pillow (``pip install "sb3_rpd[extra]"``).

    :param frames: The frames, of one size.
    :param path: Where to: any format that pillow knows by its suffix.
    :param n_frames: How many of them, at equal distances; the first and the last are among them.
    """
    image = import_optional("PIL.Image", extra="extra")
    shown = np.unique(np.linspace(0, len(frames) - 1, n_frames).round().astype(int))
    image.fromarray(np.concatenate([frames[i] for i in shown], axis=1)).save(path)


def write_gif(frames: list[np.ndarray], path: str | Path, *, seconds_per_frame: float = 0.05, width: int = 320) -> None:
    """
    Write frames of an episode as an animated GIF. Needs pillow (``pip install "sb3_rpd[extra]"``).

    :param frames: The frames, of one size.
    :param path: Where to.
    :param seconds_per_frame: How long each is shown.
    :param width: The largest width in pixels; wider frames are made smaller.
    """
    image = import_optional("PIL.Image", extra="extra")
    pictures = [image.fromarray(frame) for frame in frames]
    for picture in pictures:
        picture.thumbnail((width, width * picture.height))
    milliseconds = round(1000 * seconds_per_frame)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)

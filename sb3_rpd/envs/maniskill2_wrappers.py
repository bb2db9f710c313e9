"""The wrapper that turns one ManiSkill2 environment into one that Stable-Baselines3 can train on."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

#: The name of the camera behind ManiSkill2's ``render()``: a third-person view in which the goal marker is visible.
HUMAN_CAMERA = "human"


class ManiSkill2Wrapper(gym.Wrapper[Any, np.ndarray, Any, np.ndarray]):
    """
    Observations as float32 vectors, uint8 images or a dict of both; ``info["is_success"]``; a new seed where none is given.

    ManiSkill2's rewards, terminations and ``info`` pass through unchanged.

    :param env: A ManiSkill2 environment, in observation mode "state" for ``obs="state"``, otherwise in mode "none".
    :param obs: "state", "rgb" or "rgb+state".
    :param camera: What the images of the observation show: "human" or the name of one of ManiSkill2's cameras.
    :param instruction: What a language-conditioned teacher is told.
    """

    def __init__(self, env: gym.Env[Any, Any], obs: str, camera: str, instruction: str) -> None:
        super().__init__(env)
        self.camera = camera
        self.instruction = instruction
        self._obs = obs
        self._seeded = False
        self._frames: dict[str, np.ndarray] = {}
        self._bare: Any = env.unwrapped
        self.observation_space = self._make_observation_space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Start an episode.

        :param seed: Decides this episode and all that follow until the next seed. ManiSkill2 seeds every new environment
            alike, so that unseeded copies would replay the same episodes: where the first reset has no seed, one is
            drawn from the operating system.
        :param options: Passed on to ManiSkill2.
        """
        if seed is None and not self._seeded:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._seeded = True
        self._frames.clear()
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observe(observation), info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Act for one control step.

        :param action: An action in the environment's units.
        :return: As in gymnasium; ``info["is_success"]`` says whether the task is solved in the new state.
        """
        self._frames.clear()
        observation, reward, terminated, truncated, info = self.env.step(action)
        info["is_success"] = bool(info["success"])
        return self._observe(observation), float(reward), terminated, truncated, info

    def _make_observation_space(self) -> spaces.Space[Any]:
        state = spaces.Box(-np.inf, np.inf, shape=self._bare.observation_space.shape, dtype=np.float32)
        return state

    def _observe(self, observation: Any) -> np.ndarray:
        return np.asarray(observation, dtype=np.float32)

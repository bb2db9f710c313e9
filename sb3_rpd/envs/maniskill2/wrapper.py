"""The wrapper that turns one ManiSkill2 environment into one that Stable-Baselines3 can train on."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_rpd.envs.cameras import HUMAN_CAMERA
from sb3_rpd.envs.downscaling import Downscaling

#: What ``obs=`` may say.
OBSERVATIONS = ("state", "rgb", "rgb+state")


class ManiSkill2Wrapper(gym.Wrapper[Any, np.ndarray, Any, np.ndarray]):
    """
    Observations as a float32 vector, a uint8 image or a dict of both; ``info["is_success"]``; new episodes without a seed.

    ManiSkill2's rewards and ``info`` pass through unchanged.

    :param env: A ManiSkill2 environment, in its observation mode "state" for ``obs="state"``, otherwise in mode "none".
    :param obs: "state", "rgb" or "rgb+state".
    :param camera: What the images of the observation show: "human" or the name of one of the task's cameras.
    :param instruction: What a language-conditioned teacher is told to do; None if the task has no instruction.
    :param end_on_success: Whether a solved task ends the episode, as in ManiSkill2, or only the time limit does.
    :param reward_mode: What ``make_maniskill2_env`` calls the reward that its environment gives.
    :param downscaling: Makes the images of the observation from the frames of the "human" camera; None where they are these.
    """

    def __init__(
        self,
        env: gym.Env[Any, Any],
        obs: str,
        camera: str,
        instruction: str | None,
        end_on_success: bool,
        *,
        reward_mode: str,
        downscaling: Downscaling | None = None,
    ) -> None:
        super().__init__(env)
        self.instruction = instruction
        self.reward_mode = reward_mode
        self._obs = obs
        self._downscaling = downscaling
        self._camera = camera
        self._end_on_success = end_on_success
        self._bare: Any = env.unwrapped
        self._is_seeded = False
        self._human_frame: np.ndarray | None = None
        self.observation_space = self._make_observation_space()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Start an episode.

        :param seed: Decides this episode and those that follow without one. ManiSkill2 starts every new environment from
            the same seed, so that unseeded copies would all replay the same episodes: where the first reset has no
            seed, one is drawn from the operating system.
        :param options: Passed on to ManiSkill2.
        :return: The first observation, and ``info``.
        """
        if seed is None and not self._is_seeded:
            seed = int(np.random.SeedSequence().generate_state(1)[0])
        self._is_seeded = True
        self._human_frame = None
        observation, info = self.env.reset(seed=seed, options=options)
        return self._observe(observation), info

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Act for one control step.

        :param action: An action in the environment's units.
        :return: As in gymnasium. ``info["is_success"]`` says whether the task is solved in the new state.
        """
        self._human_frame = None
        observation, reward, terminated, truncated, info = self.env.step(action)
        info["is_success"] = bool(info["success"])
        ends = terminated and (self._end_on_success or not info["is_success"])
        return self._observe(observation), float(reward), ends, truncated, info

    def render(self) -> np.ndarray:
        """
        :return: The present frame of the "human" camera, uint8 (height, width, 3). It is rendered once for each state,
            whoever asks: the student's observation, the teacher or a video recorder.
        """
        if self._human_frame is None:
            self._human_frame = self._bare.render_rgb_array()
        return self._human_frame

    def camera_frame(self) -> np.ndarray:
        """
        :return: The present image of the camera that the environment was made with, whatever it observes: uint8
            (height, width, 3).
        """
        return self._human_image() if self._camera == HUMAN_CAMERA else self._camera_image()

    def _observe(self, observation: Any) -> Any:
        if self._obs == "state":
            return np.asarray(observation, dtype=np.float32)
        rgb = self.camera_frame()
        return rgb if self._obs == "rgb" else {"rgb": rgb, "state": self._state_beside_images()}

    def _human_image(self) -> np.ndarray:
        return self.render() if self._downscaling is None else self._downscaling(self.render())

    def _camera_image(self) -> np.ndarray:
        camera = self._bare._cameras[self._camera]
        self._bare.update_render()
        camera.take_picture()
        colors: np.ndarray = camera.camera.get_float_texture("Color")[..., :3]
        return (np.clip(colors, 0, 1) * 255).astype(np.uint8)  # as in ManiSkill2's own frames

    def _state_beside_images(self) -> np.ndarray:
        """In the observation mode "none", as in its image modes, ManiSkill2 keeps the objects' poses back."""
        entries = (*self._bare._get_obs_agent().values(), *self._bare._get_obs_extra().values())
        return np.concatenate(entries, dtype=np.float32)

    def _make_observation_space(self) -> spaces.Space[Any]:
        if self._obs == "state":
            return spaces.Box(-np.inf, np.inf, self._bare.observation_space.shape, np.float32)
        cameras = self._bare._render_cameras.values() if self._camera == HUMAN_CAMERA else [self._bare._cameras[self._camera]]
        config = next(iter(cameras)).camera_cfg
        size = (config.height, config.width) if self._downscaling is None else self._downscaling.new_size
        rgb = spaces.Box(0, 255, (*size, 3), np.uint8)
        if self._obs == "rgb":
            return rgb
        state = spaces.Box(-np.inf, np.inf, self._state_beside_images().shape, np.float32)
        return spaces.Dict({"rgb": rgb, "state": state})

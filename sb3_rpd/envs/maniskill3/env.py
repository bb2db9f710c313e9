"""One environment of ManiSkill3, as gymnasium and Stable-Baselines3 want it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_rpd.envs.cameras import HUMAN_CAMERA
from sb3_rpd.envs.downscaling import Downscaling
from sb3_rpd.envs.maniskill3.cameras import human_images, sensor_images
from sb3_rpd.envs.maniskill3.privileged import states_beside_images
from sb3_rpd.envs.maniskill3.simulation import BatchedSource, Simulation

#: What ``obs=`` may say.
OBSERVATIONS = ("state", "rgb", "rgb+state")


@dataclass(frozen=True)
class EnvSettings:
    """
    What the environments of one simulator have in common.

    :param obs: "state", "rgb" or "rgb+state".
    :param camera: What the images of the observation show: "human" or the name of one of the task's cameras.
    :param image_size: Height and width of these images.
    :param downscaling: Makes them from the frames of the "human" camera; None where they are these.
    :param instruction: What a language-conditioned teacher is told to do; None if the task has no instruction.
    :param reward_mode: What ``make_maniskill3_env`` calls the reward.
    :param end_on_success: Whether a solved task ends the episode, or only the time limit does.
    :param render_mode: "rgb_array" or None.
    """

    obs: str
    camera: str
    image_size: tuple[int, int]
    downscaling: Downscaling | None
    instruction: str | None
    reward_mode: str
    end_on_success: bool
    render_mode: str | None

    @cached_property
    def image_source(self) -> BatchedSource:
        """What renders the images that those of the observation are made of: one for all environments."""
        return human_images if self.camera == HUMAN_CAMERA else partial(sensor_images, name=self.camera)


class ManiSkill3Env(gym.Env[Any, np.ndarray]):
    """
    One of the environments that a simulator runs together: its row of everything.

    ``ManiSkill3VecEnv`` resets and steps the simulator, and then each of these tells what has become of it. Wrappers around it
    work as around any environment, ``TeacherActionWrapper`` and ``Monitor`` for instance, but for those that change actions.

    :param simulation: The simulator.
    :param index: Which of its environments this one is.
    :param settings: What they have in common.
    """

    def __init__(self, simulation: Simulation, index: int, settings: EnvSettings) -> None:
        self.simulation = simulation
        self.index = index
        self.settings = settings
        self.metadata = {"render_modes": ["rgb_array"]}
        self.render_mode = settings.render_mode
        self.instruction = settings.instruction
        self.reward_mode = settings.reward_mode
        self.action_space = simulation.simulator.single_action_space
        self.observation_space = self._make_observation_space()

    @property
    def simulator(self) -> Any:
        """ManiSkill3's own environment, of all environments together."""
        return self.simulation.simulator

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Tell how an episode starts that the simulator has started.

        :param seed: Has been given to the simulator.
        :param options: None, since it is too late for them.
        :return: The first observation, and ``info``.
        :raises ValueError: if there are options.
        """
        if options:
            raise ValueError("ManiSkill3's reset options are for a whole simulator, and this is one of its environments")
        return self._observe(), self._info()

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Tell what a control step of the simulator has done.

        :param action: What it has done that with.
        :return: As in gymnasium. ``info["is_success"]`` says whether the task is solved in the new state.
        :raises ValueError: if the action is another than the simulator's.
        """
        taken = self.simulation.actions
        if taken is None or not np.array_equal(action, taken[self.index]):
            raise ValueError(
                "All environments of a simulator act at once, so that a wrapper around one of them cannot change its actions: "
                "change them in a VecEnvWrapper, or take backend='cpu'"
            )
        info = self._info()
        is_solved = self.settings.end_on_success or not info.get("is_success", False)
        terminated = bool(self.simulation.terminated[self.index]) and is_solved
        return self._observe(), float(self.simulation.rewards[self.index]), terminated, False, info

    def render(self) -> np.ndarray:
        """
        :return: The present frame of the "human" camera, uint8 (height, width, 3). It is rendered once for each state,
            whoever asks: the student's observation, the teacher or a video recorder.
        """
        return self.read(human_images)

    def camera_frame(self) -> np.ndarray:
        """
        :return: The present image of the camera that the environment was made with, whatever it observes: uint8
            (height, width, 3).
        """
        image = self.read(self.settings.image_source)
        downscaling = self.settings.downscaling
        return image if downscaling is None else downscaling(image)

    def read(self, source: BatchedSource) -> np.ndarray:
        """
        Read something off the simulator, for an observation source of your own.

        :param source: A function from ManiSkill3's own environment to a tensor whose first axis is the environments. It is
            called once for each state of the simulator: give the same function each time.
        :return: This environment's row. It is not to be changed.
        """
        row: np.ndarray = self.simulation.read(source)[self.index]
        return row

    def _observe(self) -> Any:
        if self.simulation.states is not None:
            return self.simulation.states[self.index]
        rgb = self.camera_frame()
        return rgb if self.settings.obs == "rgb" else {"rgb": rgb, "state": self.read(states_beside_images)}

    def _info(self) -> dict[str, Any]:
        info: dict[str, Any] = {key: values[self.index] for key, values in self.simulation.info.items()}
        if "success" in info:
            info["is_success"] = bool(info["success"])
        return info

    def _make_observation_space(self) -> spaces.Space[Any]:
        if self.settings.obs == "state":
            return spaces.Box(-np.inf, np.inf, self.simulator.single_observation_space.shape, np.float32)
        rgb = spaces.Box(0, 255, (*self.settings.image_size, 3), np.uint8)
        if self.settings.obs == "rgb":
            return rgb
        state = spaces.Box(-np.inf, np.inf, self.read(states_beside_images).shape, np.float32)
        return spaces.Dict({"rgb": rgb, "state": state})


class SingleManiSkill3Env(ManiSkill3Env):
    """
    An environment that has its simulator to itself, and so resets and steps it.

    :param simulation: The simulator, of one environment.
    :param settings: What it is like.
    """

    def __init__(self, simulation: Simulation, settings: EnvSettings) -> None:
        super().__init__(simulation, 0, settings)

    def reset(self, *, seed: int | None = None, options: Mapping[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """
        Start an episode.

        :param seed: Decides this episode and those that follow without one. Without one in the first, it is drawn from the
            operating system.
        :param options: Passed on to ManiSkill3.
        :return: The first observation, and ``info``.
        """
        self.simulation.reset([0], None if seed is None else [seed], options)
        return super().reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """
        Act for one control step.

        :param action: An action in the environment's units.
        :return: As in gymnasium. ``info["is_success"]`` says whether the task is solved in the new state.
        """
        self.simulation.step(np.asarray(action)[np.newaxis])
        return super().step(action)

    def close(self) -> None:
        self.simulation.close()

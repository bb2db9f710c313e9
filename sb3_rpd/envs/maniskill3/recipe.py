"""From the arguments of ``make_maniskill3_env`` to a simulator, and from its environments to those that are trained on."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import gymnasium as gym
import torch as th

from sb3_rpd.envs.cameras import HUMAN_CAMERA, CameraView, height_and_width
from sb3_rpd.envs.choices import check_choice
from sb3_rpd.envs.downscaling import Downscaling
from sb3_rpd.envs.hovering import warn_if_hovering_pays
from sb3_rpd.envs.maniskill3.cameras import CAMERA_OPTIONS, camera_configs
from sb3_rpd.envs.maniskill3.env import OBSERVATIONS, EnvSettings, ManiSkill3Env
from sb3_rpd.envs.maniskill3.installation import check_vulkan, import_maniskill3
from sb3_rpd.envs.maniskill3.simulation import Simulation
from sb3_rpd.envs.maniskill3.simulator_errors import MANISKILL3, check_task, explain_errors
from sb3_rpd.envs.maniskill3.tasks import INSTRUCTIONS, REWARDS, hovering_reward, max_reward, success_reward
from sb3_rpd.envs.simulators import GymEnv
from sb3_rpd.envs.step_cost import StepCostWrapper
from sb3_rpd.envs.vulkan import in_this_thread

#: ManiSkill3's names for where physics runs.
_SIM_BACKENDS = {"cpu": "physx_cpu", "gpu": "physx_cuda"}


@dataclass(frozen=True)
class Recipe:
    """
    The arguments of ``make_maniskill3_env``, by the same names.

    :raises ImportError: if ManiSkill3 or one of its system libraries is missing.
    :raises RenderingUnavailableError: if there is no Vulkan device.
    :raises ValueError: if one of them is unknown.
    """

    task: str
    obs: str
    camera: str | CameraView
    image_size: int | tuple[int, int]
    frame_size: int | tuple[int, int] | None
    control_mode: str
    reward: str
    max_episode_steps: int | None
    end_on_success: bool
    render_mode: str | None
    instruction: str | None
    wrap: Callable[[GymEnv], GymEnv] | None
    kwargs: dict[str, Any]

    def __post_init__(self) -> None:
        check_choice("obs", self.obs, OBSERVATIONS)
        check_choice("reward", self.reward, tuple(REWARDS))
        check_choice("render_mode", self.render_mode, (None, "rgb_array"))
        MANISKILL3.refuse_other_names(self.kwargs)
        CAMERA_OPTIONS.check(self._view, self.kwargs)
        check_task(self.task, self.reward, REWARDS[self.reward])
        check_vulkan()
        if self.reward == "maniskill3_dense" and self.end_on_success:
            hovering, success = hovering_reward(self.task), success_reward(self.task)
            # Of __init__, of the function that makes a recipe, and of that one's caller the last is to be shown
            warn_if_hovering_pays(self.reward, self.task, hovering, self._time_limit, success_reward=success, stacklevel=5)

    @cached_property
    def settings(self) -> EnvSettings:
        """What the environments are like."""
        size, larger = self._sizes
        is_scaled = self.obs != "state" and self._view.name == HUMAN_CAMERA and larger != size
        return EnvSettings(
            self.obs,
            self._view.name,
            size,
            Downscaling(larger, size) if is_scaled else None,
            self.instruction or INSTRUCTIONS.get(self.task),
            self.reward,
            self.end_on_success,
            "rgb_array" if self.obs != "state" else self.render_mode,
        )

    def simulate(self, n_envs: int, backend: str) -> Simulation:
        """
        Start a simulator.

        :param n_envs: Of how many environments.
        :param backend: "cpu", for one, or "gpu".
        :return: The simulator.
        :raises FileNotFoundError: if the task's assets are missing; names the command that downloads them.
        :raises ValueError: if ManiSkill3 does not know one of its options.
        """
        options = {
            "render_backend": "gpu" if th.cuda.is_available() else "cpu",
            **self.kwargs,
            **camera_configs(self._view, *self._sizes, self.kwargs),
            "num_envs": n_envs,
            "sim_backend": _SIM_BACKENDS[backend],
            "obs_mode": "state" if self.obs == "state" else "none",
            "control_mode": self.control_mode,
            "reward_mode": REWARDS[self.reward],
            "render_mode": "rgb_array",
        }
        with explain_errors(self.task, options), in_this_thread():
            # Not by gym.make, whose wrappers are for a single environment
            return Simulation(import_maniskill3().make(self.task, **options))

    def finish(self, env: ManiSkill3Env) -> GymEnv:
        """
        :param env: One of the simulator's environments.
        :return: It with its reward, its time limit and what the user puts around it.
        """
        finished: GymEnv = env
        steps = self._time_limit
        if self.reward == "dense":
            highest = max_reward(self.task)
            # An episode that fails costs as much as one that gets nothing until its time is up
            finished = StepCostWrapper(finished, highest, failure_reward=None if steps is None else -highest * steps)
        if steps is not None:
            finished = gym.wrappers.TimeLimit(finished, steps)
        return finished if self.wrap is None else self.wrap(finished)

    @property
    def _view(self) -> CameraView:
        return self.camera if isinstance(self.camera, CameraView) else CameraView(self.camera)

    @property
    def _sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of the images, and of the frames of the "human" camera."""
        size = height_and_width(self.image_size)
        return size, size if self.frame_size is None else height_and_width(self.frame_size)

    @property
    def _time_limit(self) -> int | None:
        steps: int | None = import_maniskill3().REGISTERED_ENVS[self.task].max_episode_steps
        return steps if self.max_episode_steps is None else self.max_episode_steps

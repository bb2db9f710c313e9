"""Makes ManiSkill3 environments for Stable-Baselines3."""

import inspect
from collections.abc import Callable
from typing import Any

import torch as th
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_rpd.envs.cameras import CameraView
from sb3_rpd.envs.choices import check_choice
from sb3_rpd.envs.maniskill3.env import ManiSkill3Env, SingleManiSkill3Env
from sb3_rpd.envs.maniskill3.recipe import Recipe
from sb3_rpd.envs.maniskill3.vec_env import ManiSkill3VecEnv
from sb3_rpd.envs.simulators import GymEnv, make_simulators, refuse_forks


def make_maniskill3_env(
    task: str,
    obs: str = "state",
    *,
    camera: str | CameraView = "human",
    image_size: int | tuple[int, int] = 128,
    frame_size: int | tuple[int, int] | None = None,
    control_mode: str = "pd_ee_delta_pose",
    reward: str = "dense",
    max_episode_steps: int | None = None,
    end_on_success: bool = True,
    render_mode: str | None = None,
    instruction: str | None = None,
    wrap: Callable[[GymEnv], GymEnv] | None = None,
    **kwargs: Any,
) -> GymEnv:
    """
    Make one ManiSkill3 environment for Stable-Baselines3, with its physics on the CPU.

    An episode ends when the task is solved (terminated) or its time is up (truncated). ``info["is_success"]`` feeds
    Stable-Baselines3's success rate. Needs ``pip install "sb3_rpd[maniskill3]"``, into an environment without ManiSkill2, and
    a Vulkan device (a GPU, or Mesa's software renderer), for states too.

    :param task: A task of ManiSkill3. The paper's ten (``PAPER_TASKS``) need no downloaded assets.
    :param obs: "state": a float32 vector with everything, object poses included. "rgb": a uint8 image, channels last.
        "rgb+state": a dict of such an image and of what ManiSkill3 shows beside images (joints, hand pose and, in some tasks,
        the goal; no object poses).
    :param camera: Where the images come from: "human" (the paper's, with the goal marker in sight), the name of one of the
        task's cameras, or a ``CameraView`` to move it.
    :param image_size: Side in pixels, or height and width, of the images (the paper's: 256).
    :param frame_size: The same for the frames of ``render()``, which a teacher or a video sees; None for that of the images.
        Where the images are of the "human" camera, too, they are these frames scaled down by averaging over areas, and one
        picture is rendered, not two.
    :param control_mode: What an action means. The paper's "pd_ee_delta_pose": seven numbers in [-1, 1], a translation (in
        units of 0.1 m) and a rotation (0.1 rad) in the frame of the robot's base, not of the hand as in ManiSkill2; then the
        gripper (1 open, -1 closed).
    :param reward: "dense": ManiSkill3's normalized dense reward minus the most that it pays short of success, which is at most
        0 short of success and at least 0 on success: success is the best that an agent can do, whatever gamma and time limit
        (``StepCostWrapper``). "sparse": 1 on success, otherwise 0. "maniskill3_dense": ManiSkill3's normalized dense reward
        itself; where success ends the episode it pays more for hovering short of success, which is warned of.
        PlugCharger-v1 has "sparse" only.
    :param max_episode_steps: The time limit in steps; None for the task's own, 50 to 200.
    :param end_on_success: False leaves the end to the time limit alone. The rewards stay the same.
    :param render_mode: "rgb_array" for what asks an environment for it: a ``TeacherActionWrapper`` without an observation, a
        video recorder.
    :param instruction: Overrides the task's instruction for a language-conditioned teacher.
    :param wrap: Puts further wrappers around the environment, e.g. a ``TeacherActionWrapper``.
    :param kwargs: Passed on to ManiSkill3 (``robot_uids``, ``sim_config``, ``sensor_configs``, ``render_backend``, ...). What
        an argument above sets already is refused.
    :return: The environment. ``env.unwrapped`` is a ``ManiSkill3Env``, and its ``simulator`` ManiSkill3's own.
    :raises FileNotFoundError: if the task's assets are missing; names the command that downloads them.
    :raises ImportError: if ManiSkill3 or one of its system libraries is missing; says what to install.
    :raises RenderingUnavailableError: if there is no Vulkan device; says what to install.
    :raises ValueError: if an argument is unknown; lists those that are known.
    """
    recipe = Recipe(
        task=task,
        obs=obs,
        camera=camera,
        image_size=image_size,
        frame_size=frame_size,
        control_mode=control_mode,
        reward=reward,
        max_episode_steps=max_episode_steps,
        end_on_success=end_on_success,
        render_mode=render_mode,
        instruction=instruction,
        wrap=wrap,
        kwargs=kwargs,
    )
    return recipe.finish(SingleManiSkill3Env(recipe.simulate(1, "cpu"), recipe.settings))


def make_maniskill3_vec_env(
    task: str,
    n_envs: int = 1,
    obs: str = "state",
    *,
    backend: str = "auto",
    seed: int | None = None,
    vec_env_cls: type[DummyVecEnv] | type[SubprocVecEnv] = DummyVecEnv,
    vec_env_kwargs: dict[str, Any] | None = None,
    monitor_dir: str | None = None,
    **env_kwargs: Any,
) -> VecEnv:
    """
    Make several ManiSkill3 environments that run as one, each in a ``Monitor``.

    ManiSkill3 simulates many environments at once on an NVIDIA GPU, and one at a time on the CPU.

    :param task: See ``make_maniskill3_env``.
    :param n_envs: How many.
    :param obs: See ``make_maniskill3_env``.
    :param backend: "cpu": a simulator for each environment. "gpu": one for all of them, on the GPU. "auto": "gpu" where
        PyTorch sees one and ``vec_env_cls`` is not set, otherwise "cpu".
    :param seed: The first environment's seed, each further one's is higher by 1; None for seeds that differ from run to run.
        One simulator for all draws most tasks' episodes from the first seed, so that they depend on ``n_envs``, too.
    :param vec_env_cls: With "cpu", ``DummyVecEnv`` (all in this process) or ``SubprocVecEnv`` (each in its own).
    :param vec_env_kwargs: Arguments of that class. A ``SubprocVecEnv`` must not ``fork``.
    :param monitor_dir: Where each ``Monitor`` writes its file; None for no files.
    :param env_kwargs: The other arguments of ``make_maniskill3_env``. With "gpu", ``wrap`` must not put a wrapper around an
        environment that changes its actions.
    :return: The vectorized environment.
    :raises ValueError: if processes are to be forked, or to share a GPU's simulator; otherwise as ``make_maniskill3_env``.
    """
    refuse_forks(vec_env_kwargs)
    if _choose_backend(backend, vec_env_cls) == "cpu":
        return make_simulators(
            make_maniskill3_env,
            n_envs,
            seed,
            {"task": task, "obs": obs, **env_kwargs},
            vec_env_cls=vec_env_cls,
            vec_env_kwargs=vec_env_kwargs,
            monitor_dir=monitor_dir,
        )
    arguments = inspect.signature(make_maniskill3_env).bind(task, obs, **env_kwargs)
    arguments.apply_defaults()
    recipe = Recipe(**{"kwargs": {}, **arguments.arguments})
    simulation = recipe.simulate(n_envs, "gpu")
    indices = iter(range(n_envs))
    return make_vec_env(
        lambda: recipe.finish(ManiSkill3Env(simulation, next(indices), recipe.settings)),
        n_envs,
        seed,
        monitor_dir=monitor_dir,
        vec_env_cls=ManiSkill3VecEnv,
        vec_env_kwargs={"simulation": simulation},
    )


def _choose_backend(backend: str, vec_env_cls: type[VecEnv]) -> str:
    check_choice("backend", backend, ("auto", "cpu", "gpu"))
    if backend == "auto":
        return "gpu" if th.cuda.is_available() and vec_env_cls is DummyVecEnv else "cpu"
    if backend == "gpu" and vec_env_cls is not DummyVecEnv:
        raise ValueError(f"one simulator on the GPU runs all environments: leave out vec_env_cls={vec_env_cls.__name__}")
    if backend == "gpu" and not th.cuda.is_available():
        raise ValueError('backend="gpu" needs an NVIDIA GPU that PyTorch sees (torch.cuda.is_available()): take "cpu"')
    return backend

"""Makes ManiSkill2 environments for Stable-Baselines3."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_rpd.envs.cameras import HUMAN_CAMERA, CameraView, height_and_width
from sb3_rpd.envs.choices import check_choice
from sb3_rpd.envs.downscaling import Downscaling
from sb3_rpd.envs.hovering import warn_if_hovering_pays
from sb3_rpd.envs.maniskill2.cameras import CAMERA_OPTIONS, camera_configs
from sb3_rpd.envs.maniskill2.installation import import_maniskill2
from sb3_rpd.envs.maniskill2.mesh_reduction import check_mesh_reduction, reduce_robot
from sb3_rpd.envs.maniskill2.physics_only import physics_only
from sb3_rpd.envs.maniskill2.rendering import choose_renderer, color_shaders, prepare_renderer
from sb3_rpd.envs.maniskill2.rewards import HOVERING_REWARDS, MAX_DENSE_REWARD, REWARDS, failure_reward, time_limit
from sb3_rpd.envs.maniskill2.simulator_errors import MANISKILL2, explain_errors
from sb3_rpd.envs.maniskill2.tasks import ASSET_FREE_TASKS, INSTRUCTIONS, TASKS_READING_VISUALS
from sb3_rpd.envs.maniskill2.wrapper import OBSERVATIONS, ManiSkill2Wrapper
from sb3_rpd.envs.simulators import GymEnv, make_simulators, refuse_forks
from sb3_rpd.envs.step_cost import StepCostWrapper
from sb3_rpd.envs.vulkan import RenderingUnavailableError, in_this_thread

#: Options of ManiSkill2 that put downloaded things into a scene.
_BRINGS_TEXTURES = frozenset({"robot", "bg_name"})


def make_maniskill2_env(
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
    renderer: str = "auto",
    mesh_reduction: float = 0.0,
    instruction: str | None = None,
    wrap: Callable[[GymEnv], GymEnv] | None = None,
    **kwargs: Any,
) -> GymEnv:
    """
    Make one ManiSkill2 environment for Stable-Baselines3.

    An episode ends when the task is solved (terminated) or its time is up (truncated). ``info["is_success"]`` feeds
    Stable-Baselines3's success rate, which counts the last step of an episode.

    :param task: A task of ManiSkill2. "LiftCube-v0", "PickCube-v0", "StackCube-v0", "PegInsertionSide-v0" and
        "PlugCharger-v0" need no downloaded assets.
    :param obs: "state": a float32 vector with everything, object poses included. "rgb": a uint8 image, channels last.
        "rgb+state": a dict of such an image and of what the robot itself knows (joints, hand pose and, in PickCube,
        the goal; no object poses).
    :param camera: Where the images come from: "human" (the paper's, with the goal marker in sight), the name of one of the
        task's cameras, or a ``CameraView`` to move it.
    :param image_size: Side in pixels, or height and width, of the images (the paper's: 256).
    :param frame_size: The same for the frames of ``render()``, which a teacher or a video sees; None for that of the images.
        Where the images are of the "human" camera, too, they are these frames scaled down by averaging over areas, and one
        picture is rendered, not two. At the edges of things they differ from images rendered in their own size.
    :param control_mode: What an action means. The paper's "pd_ee_delta_pose": seven numbers in [-1, 1], a translation (in
        units of 0.1 m) and a rotation vector (0.1 rad) in the frame of the hand, then the gripper (1 open, -1 closed).
    :param reward: "dense": ManiSkill2's normalized dense reward minus 1, which is at most 0 short of success and 0 on success:
        success is the best that an agent can do, whatever gamma and time limit (``StepCostWrapper``). "sparse": 1 on
        success, otherwise 0. "maniskill2_dense": ManiSkill2's normalized dense reward itself, at most 1 and 1 on success;
        where success ends the episode it pays more for hovering short of success, which is warned of. The environment
        reports the choice as ``get_wrapper_attr("reward_mode")``.
    :param max_episode_steps: The time limit in steps; None for the task's own, 200 in the tabletop tasks.
    :param end_on_success: False leaves the end to the time limit alone. The rewards stay the same: each step is paid for the
        state that it leads to, so that under "dense" a task that stays solved costs nothing more.
    :param render_mode: "rgb_array" if ``render()`` is to work, or a teacher is to see, where ``obs`` is "state".
    :param renderer: "none", "software", "gpu" or "auto": no renderer where no image is asked for, otherwise a GPU where Vulkan
        lists one, otherwise Mesa's software renderer. Physics, rewards and states are the same with each.
        The software renderer uses shaders of this package, unless ``shader_dir`` says otherwise: those start and run faster,
        and give the colors of sapien's "trivial" shaders, but no position map and no segmentation. Images from sapien's
        other shaders differ.
    :param mesh_reduction: Which share of the triangles that the robot is drawn with is taken away, in [0, 1), where there is a
        renderer. The Panda has 135,000, on which a software renderer spends most of a frame's time; with 0.9 about one pixel
        in 500 changes, at edges. Under shaders with lights its own edges look rounded.
    :param instruction: Overrides the task's instruction for a language-conditioned teacher.
    :param wrap: Puts further wrappers around the environment, e.g. a ``TeacherActionWrapper``.
    :param kwargs: Passed on to ManiSkill2 (``robot``, ``sim_freq``, ``control_freq``, ``shader_dir``, ``camera_cfgs``, ...).
        What an argument above sets already is refused.
    :return: The environment.
    :raises FileNotFoundError: if the task's assets are missing; names the command that downloads them.
    :raises ImportError: if ManiSkill2 or one of its system libraries is missing; says what to install.
    :raises RenderingUnavailableError: if images are asked for and nothing can render them; says what to install.
    :raises ValueError: if an argument is unknown; lists those that are known.
    """
    check_choice("obs", obs, OBSERVATIONS)
    check_choice("reward", reward, tuple(REWARDS))
    check_choice("render_mode", render_mode, (None, "rgb_array"))
    check_mesh_reduction(mesh_reduction)
    view = camera if isinstance(camera, CameraView) else CameraView(camera)
    MANISKILL2.refuse_other_names(kwargs)
    CAMERA_OPTIONS.check(view, kwargs)
    chosen_renderer = _choose_renderer(task, renderer, images=obs != "state" or render_mode is not None)
    _check_task(task)
    size = height_and_width(image_size)
    larger = size if frame_size is None else height_and_width(frame_size)
    is_scaled = obs != "state" and view.name == HUMAN_CAMERA and larger != size
    options = {
        **kwargs,
        "obs_mode": "state" if obs == "state" else "none",
        "control_mode": control_mode,
        "reward_mode": REWARDS[reward],
        "max_episode_steps": max_episode_steps,
    }
    if chosen_renderer != "none":
        options.update(camera_configs(view, size, larger, kwargs))
    env: GymEnv = ManiSkill2Wrapper(
        _make_bare_env(task, options, chosen_renderer, mesh_reduction),
        obs,
        view.name,
        instruction or INSTRUCTIONS.get(task),
        end_on_success,
        reward_mode=reward,
        downscaling=Downscaling(larger, size) if is_scaled else None,
    )
    if reward == "dense":
        env = StepCostWrapper(env, MAX_DENSE_REWARD, failure_reward=failure_reward(env))
    elif reward == "maniskill2_dense" and end_on_success:
        warn_if_hovering_pays(reward, task, HOVERING_REWARDS.get(task, MAX_DENSE_REWARD), time_limit(env))
    return env if wrap is None else wrap(env)


def make_maniskill2_vec_env(
    task: str,
    n_envs: int = 1,
    obs: str = "state",
    *,
    seed: int | None = None,
    vec_env_cls: type[DummyVecEnv] | type[SubprocVecEnv] = DummyVecEnv,
    vec_env_kwargs: dict[str, Any] | None = None,
    monitor_dir: str | None = None,
    **env_kwargs: Any,
) -> VecEnv:
    """
    Make several ManiSkill2 environments that run as one, each in a ``Monitor``.

    :param task: See ``make_maniskill2_env``.
    :param n_envs: How many.
    :param obs: See ``make_maniskill2_env``.
    :param seed: The first environment's seed, each further one's is higher by 1; None for seeds that differ from run to run.
    :param vec_env_cls: ``DummyVecEnv`` (all in this process) or ``SubprocVecEnv`` (each in its own).
    :param vec_env_kwargs: Arguments of that class. A ``SubprocVecEnv`` must not ``fork``.
    :param monitor_dir: Where each ``Monitor`` writes its file; None for no files.
    :param env_kwargs: The other arguments of ``make_maniskill2_env``.
    :return: The vectorized environment.
    :raises ValueError: if the processes are to be forked; otherwise as ``make_maniskill2_env``.
    """
    refuse_forks(vec_env_kwargs)
    return make_simulators(
        make_maniskill2_env,
        n_envs,
        seed,
        {"task": task, "obs": obs, **env_kwargs},
        vec_env_cls=vec_env_cls,
        vec_env_kwargs=vec_env_kwargs,
        monitor_dir=monitor_dir,
    )


def _choose_renderer(task: str, renderer: str, images: bool) -> str:
    reads_visuals = task in TASKS_READING_VISUALS
    try:
        return choose_renderer(renderer, images or reads_visuals)
    except RenderingUnavailableError as error:
        if images or not reads_visuals:
            raise
        raise RenderingUnavailableError(
            f"{task} reads meshes or particles off the renderer and needs one even where no image is asked for: {error}"
        ) from error


def _check_task(task: str) -> None:
    tasks = import_maniskill2().REGISTERED_ENVS
    if task not in tasks:
        others = ", ".join(sorted(set(tasks) - set(ASSET_FREE_TASKS)))
        raise ValueError(
            f'ManiSkill2 has no task "{task}". Ready to run: {", ".join(ASSET_FREE_TASKS)}; with downloads: {others}'
        )


def _make_bare_env(task: str, options: dict[str, Any], renderer: str, mesh_reduction: float) -> GymEnv:
    if renderer == "none":
        with explain_errors(task, options), physics_only():
            return gym.make(task, **options)
    prepare_renderer(renderer)
    rendering: dict[str, Any] = {"renderer_kwargs": {"offscreen_only": True}}
    if renderer == "software":
        has_textures = task not in ASSET_FREE_TASKS or bool(_BRINGS_TEXTURES & options.keys())
        rendering["shader_dir"] = color_shaders(has_textures)
    options = rendering | options | {"render_mode": "rgb_array"}
    with explain_errors(task, options), in_this_thread() if renderer == "software" else nullcontext():
        env: GymEnv = gym.make(task, **options)
    if mesh_reduction:
        reduce_robot(env.unwrapped, mesh_reduction)
    return env

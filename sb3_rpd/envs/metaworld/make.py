"""Makes Meta-World environments for Stable-Baselines3."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

from sb3_rpd.envs.choices import check_choice
from sb3_rpd.envs.metaworld.tasks import environment_class
from sb3_rpd.envs.metaworld.wrapper import MetaWorldWrapper
from sb3_rpd.envs.simulators import GymEnv, make_simulators
from sb3_rpd.envs.step_cost import StepCostWrapper

#: Meta-World refuses to go on after so many steps.
MAX_EPISODE_STEPS = 500


def make_metaworld_env(
    task: str,
    *,
    reward: str = "dense",
    max_episode_steps: int = MAX_EPISODE_STEPS,
    end_on_success: bool = True,
    wrap: Callable[[GymEnv], GymEnv] | None = None,
) -> GymEnv:
    """
    Make one Meta-World environment for Stable-Baselines3.

    Objects and goal are in new places in each episode. The observation, a float32 vector of 39 numbers, has them all. An
    episode ends when the task is solved (terminated) or its time is up (truncated). ``info["is_success"]`` feeds
    Stable-Baselines3's success rate. Needs ``pip install "sb3_rpd[metaworld]"``.

    :param task: One of Meta-World's 50 tasks, "drawer-open-v3".
    :param reward: "dense": a tenth of Meta-World's dense reward, minus 1, which is at most 0 short of success and 0 on
        success: success is the best that an agent can do, whatever gamma and time limit (``StepCostWrapper``). "sparse": 1 on
        success, otherwise 0.
    :param max_episode_steps: The time limit in steps, 500 at most.
    :param end_on_success: False leaves the end to the time limit alone, as in Meta-World.
    :param wrap: Puts further wrappers around the environment, e.g. a ``TeacherActionWrapper``.
    :return: The environment.
    :raises ImportError: if Meta-World is missing; says what to install.
    :raises ValueError: if an argument is unknown or out of its range; lists what is known.
    """
    check_choice("reward", reward, ("dense", "sparse"))
    if not 0 < max_episode_steps <= MAX_EPISODE_STEPS:
        raise ValueError(f"max_episode_steps must be 1 to {MAX_EPISODE_STEPS}, where Meta-World ends; got {max_episode_steps}")
    bare = environment_class(task)()
    env: GymEnv = MetaWorldWrapper(bare, sparse=reward == "sparse", end_on_success=end_on_success)
    if reward == "dense":
        env = StepCostWrapper(env, max_reward=1.0)
    env = gym.wrappers.TimeLimit(env, max_episode_steps)
    return env if wrap is None else wrap(env)


def make_metaworld_vec_env(
    task: str,
    n_envs: int = 1,
    *,
    seed: int | None = None,
    vec_env_cls: type[DummyVecEnv] | type[SubprocVecEnv] = DummyVecEnv,
    vec_env_kwargs: dict[str, Any] | None = None,
    monitor_dir: str | None = None,
    **env_kwargs: Any,
) -> VecEnv:
    """
    Make several Meta-World environments that run as one, each in a ``Monitor``.

    :param task: See ``make_metaworld_env``.
    :param n_envs: How many.
    :param seed: The first environment's seed, each further one's is higher by 1; None for seeds that differ from run to run.
    :param vec_env_cls: ``DummyVecEnv`` (all in this process) or ``SubprocVecEnv`` (each in its own).
    :param vec_env_kwargs: Arguments of that class.
    :param monitor_dir: Where each ``Monitor`` writes its file; None for no files.
    :param env_kwargs: The other arguments of ``make_metaworld_env``.
    :return: The vectorized environment.
    :raises ImportError: as ``make_metaworld_env``.
    :raises ValueError: as ``make_metaworld_env``.
    """
    return make_simulators(
        make_metaworld_env,
        n_envs,
        seed,
        {"task": task, **env_kwargs},
        vec_env_cls=vec_env_cls,
        vec_env_kwargs=vec_env_kwargs,
        monitor_dir=monitor_dir,
    )

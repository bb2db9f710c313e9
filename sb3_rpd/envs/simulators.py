"""Several simulators that run as one ``VecEnv``."""

from collections.abc import Callable
from typing import Any, TypeAlias

import gymnasium as gym
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv

GymEnv: TypeAlias = gym.Env[Any, Any]


def make_simulators(
    make_env: Callable[..., GymEnv],
    n_envs: int,
    seed: int | None,
    env_kwargs: dict[str, Any],
    *,
    vec_env_cls: type[DummyVecEnv] | type[SubprocVecEnv],
    vec_env_kwargs: dict[str, Any] | None,
    monitor_dir: str | None,
) -> VecEnv:
    """
    Make several environments that run as one, each in a ``Monitor``.

    :param make_env: Makes one, and says what is wrong with its arguments; ``wrap`` is one of them.
    :param n_envs: How many.
    :param seed: The first environment's seed, each further one's is higher by 1; None for seeds that differ from run to run.
    :param env_kwargs: The arguments of ``make_env``.
    :param vec_env_cls: ``DummyVecEnv`` (all in this process) or ``SubprocVecEnv`` (each in its own).
    :param vec_env_kwargs: Arguments of that class.
    :param monitor_dir: Where each ``Monitor`` writes its file; None for no files.
    :return: The vectorized environment.
    """
    if issubclass(vec_env_cls, SubprocVecEnv):
        # what is wrong with the arguments shows here, as itself; from a worker it would be an EOFError
        make_env(**{**env_kwargs, "wrap": None}).close()
    return make_vec_env(
        make_env,
        n_envs,
        seed,
        monitor_dir=monitor_dir,
        env_kwargs=env_kwargs,
        vec_env_cls=vec_env_cls,
        vec_env_kwargs=vec_env_kwargs,
    )


def refuse_forks(vec_env_kwargs: dict[str, Any] | None) -> None:
    """
    :param vec_env_kwargs: Arguments of a ``SubprocVecEnv``.
    :raises ValueError: if its processes are to be forked.
    """
    if (vec_env_kwargs or {}).get("start_method") == "fork":
        raise ValueError('a forked process hangs in sapien: use start_method="forkserver" or "spawn"')

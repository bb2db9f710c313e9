"""Environments by name."""

from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any

import gymnasium as gym
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.factories import find_factory
from sb3_rpd.common.wording import cut
from sb3_rpd.envs import ASSET_FREE_TASKS, CameraView, make_maniskill2_vec_env
from sb3_rpd.envs.maniskill2.installation import import_maniskill2
from sb3_rpd.envs.simulators import GymEnv


def is_function(name: str) -> bool:
    """:return: Whether the name is "package.module:function"; a gymnasium id with a module before it ends in a version."""
    return ":" in name and name.rpartition(":")[2].isidentifier()


def is_maniskill2_task(name: str) -> bool:
    """
    :param name: A name that is no function's.
    :return: Whether ManiSkill2 has such a task, and gymnasium itself has none.
    """
    if name in ASSET_FREE_TASKS:
        return True
    if name in gym.registry or ":" in name:
        return False
    try:
        return name in import_maniskill2().REGISTERED_ENVS
    except ImportError:
        return False


def make_environment(
    name: str,
    n_envs: int,
    seed: int | None,
    *,
    env_kwargs: Mapping[str, Any] | None = None,
    wrap: Callable[[GymEnv], GymEnv] | None = None,
    needs_frames: bool = False,
) -> VecEnv:
    """
    Make environments of what a user names.

    :param name: A gymnasium id, a ManiSkill2 task, or "package.module:function" without arguments, which returns an
        environment or a ``VecEnv``.
    :param n_envs: How many; a ``VecEnv`` that a function returns has the number that it has.
    :param seed: The first environment's seed, each further one's is higher by 1.
    :param env_kwargs: What goes to ``gymnasium.make`` or to ``make_maniskill2_vec_env``, whose ``camera`` may be the arguments
        of a ``CameraView`` by their names.
    :param wrap: Put around each environment, except around those of a function, which are as they are.
    :param needs_frames: Whether ``render()`` has to give frames.
    :return: The environments.
    :raises ValueError: if there are none of that name, or ``env_kwargs`` are for a function.
    """
    env_kwargs = dict(env_kwargs or {})
    if is_function(name):
        if env_kwargs:
            raise ValueError(f"env_kwargs are for environments made by an id, and {name!r} is a function: set them in it.")
        return _call(name, n_envs, seed)
    if needs_frames:
        env_kwargs.setdefault("render_mode", "rgb_array")
    if is_maniskill2_task(name):
        if isinstance(env_kwargs.get("camera"), Mapping):
            env_kwargs["camera"] = _view(env_kwargs["camera"])
        return make_maniskill2_vec_env(name, n_envs, seed=seed, wrap=wrap, **env_kwargs)
    try:
        return make_vec_env(name, n_envs, seed, env_kwargs=env_kwargs, wrapper_class=wrap)
    except gym.error.UnregisteredEnv as error:
        raise ValueError(f"There is no environment {name!r}: {cut(error)} {_what_maniskill2_says()}") from error
    except TypeError as error:
        raise ValueError(f"{name} cannot be made with env_kwargs={cut(env_kwargs)}: {cut(error)}.") from error


def _view(arguments: Mapping[str, Any]) -> CameraView:
    try:
        return CameraView(**arguments)
    except TypeError as error:
        raise ValueError(
            f"camera is a name, or {{name: human, position: [x, y, z], target: [x, y, z]}}, and not {cut(dict(arguments))}."
        ) from error


def _what_maniskill2_says() -> str:
    try:
        import_maniskill2()
    except ImportError as error:
        return f"If it is one of ManiSkill2's: {error}"
    return "ManiSkill2 has none of that name either."


def _call(name: str, n_envs: int, seed: int | None) -> VecEnv:
    factory = find_factory(name, "environment")
    made = factory()
    if isinstance(made, VecEnv):
        if seed is not None:
            made.seed(seed)
        return made
    if not isinstance(made, gym.Env):
        raise ValueError(f"The function {name!r} made a {type(made).__name__}, and no environment.")
    # the one that is there already is the first of them
    envs: Iterator[GymEnv] = chain([made], (factory() for _ in repeat(None)))
    return make_vec_env(lambda: next(envs), n_envs, seed)

"""A ``NamingEnv`` that writes down what is read of it for a teacher."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from toy_envs import NamingEnv

from sb3_rpd import TeacherActionWrapper

N_ENVS = 2


class WatchedEnv(NamingEnv):
    """Writes down of which states its name was read for the teacher."""

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.reads: list[tuple[float, ...]] = []

    def forget_reads(self) -> None:
        self.reads = []


def read_name(env: gym.Env) -> np.ndarray:
    toy = env.unwrapped
    toy.reads.append(tuple(toy.name.tolist()))
    return toy.name


def watched(index: int, on_top: Callable[[gym.Env], gym.Env] = Monitor, controller: bool = False) -> Callable[[], gym.Env]:
    offer: dict[str, Any] = {"controller": read_name} if controller else {"observation": {"name": read_name}}
    return lambda: on_top(TeacherActionWrapper(WatchedEnv(index), **offer))


def make_env(vec_env: type[VecEnv] = DummyVecEnv, **kwargs: Any) -> VecEnv:
    return vec_env([watched(index, **kwargs) for index in range(N_ENVS)])


def reads_of(env: VecEnv) -> list[list[tuple[float, ...]]]:
    return env.get_attr("reads")

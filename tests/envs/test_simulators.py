"""Several simulators that run as one (sb3_rpd/envs/simulators.py), with environments that need none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor, load_results
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_rpd.envs.simulators import make_simulators

Wrap = Callable[[gym.Env], gym.Env]


class Maker:
    """Makes environments whose episodes have three steps, and keeps what it was given and made."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.n_closed = 0

    def __call__(self, **arguments: Any) -> gym.Env:
        self.calls.append(arguments)
        wrap = arguments["wrap"] or (lambda env: env)
        return Counted(wrap(gym.make("CartPole-v1", max_episode_steps=3)), self)


class Counted(gym.Wrapper):
    def __init__(self, env: gym.Env, maker: Maker) -> None:
        super().__init__(env)
        self.maker = maker

    def close(self) -> None:
        self.maker.n_closed += 1
        super().close()


def negated(env: gym.Env) -> gym.Env:
    return gym.wrappers.TransformReward(env, lambda reward: -reward)


def test_in_this_process_each_is_made_once_and_its_monitor_sees_what_wrap_makes_of_it(tmp_path: Path) -> None:
    maker = Maker()
    vec_env = make_simulators(
        maker,
        2,
        5,
        {"task": "balance", "wrap": negated},
        vec_env_cls=DummyVecEnv,
        vec_env_kwargs=None,
        monitor_dir=str(tmp_path),
    )
    assert maker.calls == [{"task": "balance", "wrap": negated}] * 2
    assert vec_env.env_is_wrapped(Monitor) == [True, True]
    vec_env.reset()
    for _ in range(3):
        vec_env.step(np.array([0, 1]))
    vec_env.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.monitor.csv", "1.monitor.csv"]
    episodes = load_results(str(tmp_path))
    assert (episodes["r"].tolist(), episodes["l"].tolist()) == ([-3, -3], [3, 3])


def test_before_processes_start_one_is_made_here_without_the_users_wrappers_and_closed() -> None:
    """``wrap`` may start what there is to be once for each process, and must not be called in this one."""
    maker = Maker()
    with pytest.raises(ValueError, match="cannot find context for 'thread'"):  # so that none starts
        make_simulators(
            maker,
            2,
            5,
            {"task": "balance", "wrap": negated},
            vec_env_cls=SubprocVecEnv,
            vec_env_kwargs={"start_method": "thread"},
            monitor_dir=None,
        )
    assert maker.calls == [{"task": "balance", "wrap": None}]
    assert maker.n_closed == 1

"""Comparisons of trained students, what they do in an environment, and what an archive says without this package."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from stable_baselines3.common.logger import configure
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv


def assert_same_to_the_last_bit(first: OnPolicyAlgorithm, second: OnPolicyAlgorithm) -> None:
    """Parameters, Adam's second moments and counters are the same."""
    expected = first.policy.state_dict()
    actual = second.policy.state_dict()
    assert expected.keys() == actual.keys()
    for name, parameter in expected.items():
        assert th.equal(parameter, actual[name]), name
    for one, other in zip(first.policy.optimizer.state.values(), second.policy.optimizer.state.values(), strict=True):
        assert th.equal(one["exp_avg_sq"], other["exp_avg_sq"])
    assert first._n_updates == second._n_updates
    assert first.num_timesteps == second.num_timesteps


def train_small(
    algorithm: type[OnPolicyAlgorithm], env: VecEnv, arguments: dict[str, Any], iterations: int = 3
) -> OnPolicyAlgorithm:
    """A student after some small rollouts, of which the logger keeps the last scalars."""
    arguments = {"n_steps": 12, "batch_size": 8, "n_epochs": 2, "seed": 5, "device": "cpu"} | arguments
    model = algorithm(env=env, **arguments)
    model.set_logger(configure(None, []))
    return model.learn(iterations * arguments["n_steps"] * env.num_envs, log_interval=1000)


def assert_logged(expected: OnPolicyAlgorithm, actual: OnPolicyAlgorithm) -> None:
    """All that the first has logged the second has logged, too, with the same values."""
    for name, value in expected.logger.name_to_value.items():
        # SB3 takes the mean of this one in float32
        same = pytest.approx(value, rel=1e-5) if name == "train/approx_kl" else value
        assert actual.logger.name_to_value[name] == same, name


def assert_close(first: OnPolicyAlgorithm, second: OnPolicyAlgorithm) -> None:
    """Parameters and the optimizer's moments are the same up to rounding."""
    for name, parameter in first.policy.state_dict().items():
        th.testing.assert_close(second.policy.state_dict()[name], parameter, rtol=0, atol=1e-6, msg=name)
    states = [model.policy.optimizer.state_dict()["state"] for model in (first, second)]
    assert states[0].keys() == states[1].keys()
    for index, state in states[0].items():
        assert state.keys() == states[1][index].keys()
        assert state["step"] == states[1][index]["step"]
        for name in state.keys() - {"step"}:
            th.testing.assert_close(states[1][index][name], state[name], rtol=1e-4, atol=1e-6)


def assert_trained_alike(plain: OnPolicyAlgorithm, fast: OnPolicyAlgorithm) -> None:
    """Two ways of the same training: parameters, moments and what the last iteration logged are the same up to rounding."""
    assert_close(plain, fast)
    assert plain._n_updates == fast._n_updates
    expected, actual = dict(plain.logger.name_to_value), dict(fast.logger.name_to_value)
    for of_one in (expected, actual):
        of_one.pop("teacher/seconds")
    assert actual == pytest.approx(expected, rel=1e-4, abs=1e-6)


@dataclass
class Acted:
    """An episode: what was observed, that after the last step included, and what was done."""

    observations: list[Any]
    actions: list[Any] = field(default_factory=list)


class Watched(gym.Wrapper):
    """Remembers the episodes of its environment."""

    def __init__(self, env: gym.Env) -> None:
        super().__init__(env)
        self.episodes: list[Acted] = []

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(**kwargs)
        self.episodes.append(Acted([observation]))
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        self.episodes[-1].actions.append(action)
        self.episodes[-1].observations.append(result[0])
        return result


def sharpen(model: OnPolicyAlgorithm) -> None:
    """Let an untrained student's actions depend on what it sees, and remembers: they begin near 0 otherwise."""
    with th.no_grad():
        model.policy.action_net.weight.mul_(300.0)


_READER = """
import importlib, json, pathlib, sys, warnings

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0].startswith(("sb3_rpd", "toy_", "test_")):
            raise ModuleNotFoundError(f"{name} is not installed here")

sys.meta_path.insert(0, Block())
warnings.simplefilter("error")
import numpy as np

module, _, name = sys.argv[2].partition(":")
algorithm = getattr(importlib.import_module(module), name)
actions = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.zip")):
    model = algorithm.load(path, device="cpu")
    observation = {k: v for k, v in np.load(path.with_suffix(".npz")).items()}
    observation = observation.get("array", observation)
    actions[path.stem] = model.predict(observation, deterministic=True)[0].tolist()
print(json.dumps(actions))
"""


def assert_loads_elsewhere(models: dict[str, OnPolicyAlgorithm], algorithm: str, folder: Path) -> None:
    """
    Students act the same where only Stable-Baselines3 and sb3-contrib are installed.

    :param models: The students by name.
    :param algorithm: The class that loads them, "module:name".
    :param folder: For their archives.
    """
    expected = {}
    for name, model in models.items():
        model.save(folder / f"{name}.zip")
        observation = model.env.reset()
        np.savez(folder / f"{name}.npz", **(observation if isinstance(observation, dict) else {"array": observation}))
        expected[name] = model.predict(observation, deterministic=True)[0].tolist()
    command = [sys.executable, "-c", _READER, str(folder), algorithm]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)
    assert finished.returncode == 0, finished.stderr
    assert json.loads(finished.stdout) == expected

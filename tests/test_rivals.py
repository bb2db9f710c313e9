"""The rivals in the benchmarks do what RPD is compared with."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from free_env import ACTION_DIM, FreeVecEnv, free_teacher, free_teacher_for
from gymnasium import spaces
from rivals import SBX, FreeTeacherModel, ObviousRPD, load_ppd
from stable_baselines3 import PPO

from sb3_rpd import RPD

STATE_SPACE = spaces.Box(-1.0, 1.0, (9,), np.float32)
IMAGE_SPACE = spaces.Box(0, 255, (3, 36, 36), np.uint8)
STUDENTS = {"MlpPolicy": STATE_SPACE, "CnnPolicy": IMAGE_SPACE}


def train(algorithm: Any, policy: str, **kwargs: Any) -> dict[str, th.Tensor]:
    """The weights after an iteration, in which episodes are truncated."""
    env = FreeVecEnv(2, STUDENTS[policy], episode_steps=5)
    settings: dict[str, Any] = {"n_steps": 16, "batch_size": 8, "n_epochs": 2, "ent_coef": 0.01, "seed": 0, "device": "cpu"}
    weights: dict[str, th.Tensor] = algorithm(policy, env, **settings, **kwargs).learn(32).policy.state_dict()
    return weights


@pytest.mark.parametrize("policy", STUDENTS)
def test_obvious_rpd_with_coefficient_0_is_ppo_to_the_last_bit(policy: str) -> None:
    expected = train(PPO, policy)
    actual = train(ObviousRPD, policy, teacher=free_teacher, imitation_coef=0.0)
    for name, weights in expected.items():
        assert th.equal(actual[name], weights), name


@pytest.mark.parametrize("fast", [None, False], ids=["fast", "plain"])
@pytest.mark.parametrize("policy", STUDENTS)
def test_obvious_rpd_learns_what_rpd_learns(policy: str, fast: bool | None) -> None:
    expected = train(RPD, policy, teacher=free_teacher, imitation_coef=3.0, fast=fast)
    actual = train(ObviousRPD, policy, teacher=free_teacher, imitation_coef=3.0)
    without = train(PPO, policy)
    for name, weights in expected.items():
        th.testing.assert_close(actual[name], weights, rtol=0.0, atol=1e-5)
    assert not th.allclose(without["action_net.weight"], expected["action_net.weight"], rtol=0.0, atol=1e-4)


def test_teachers_of_all_rivals_are_one() -> None:
    observations = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 9)).astype(np.float32)
    expected = observations[:, :ACTION_DIM] / 255
    np.testing.assert_array_equal(free_teacher(observations), expected)
    distribution = FreeTeacherModel().get_distribution(th.as_tensor(observations))
    th.testing.assert_close(distribution.mode(), th.as_tensor(expected))
    th.testing.assert_close(distribution.distribution.stddev, th.ones(4, ACTION_DIM))


def test_free_env_truncates_all_episodes_together() -> None:
    env = FreeVecEnv(3, STATE_SPACE, episode_steps=2)
    first = env.reset()
    for step in range(1, 5):
        observations, rewards, dones, infos = env.step(np.zeros((3, ACTION_DIM), dtype=np.float32))
        assert observations.shape == first.shape
        assert rewards.shape == (3,)
        np.testing.assert_array_equal(dones, [step % 2 == 0] * 3)
        assert [info.get("TimeLimit.truncated", False) for info in infos] == [step % 2 == 0] * 3


def test_ppd_is_loaded_from_the_folder_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not hold the package sb3_distill"):
        load_ppd(tmp_path)


def test_sbx_that_is_not_there_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    """Nor is it where the tests run: it wants another numpy."""
    with pytest.raises(RuntimeError, match="SBX has ended with exit code 1; above is what it said"):
        SBX(Path(sys.executable), "mlp", quick=True)
    assert "No module named 'sbx'" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("action_space", "expected"),
    [
        (spaces.Discrete(7), [1, 0]),
        (spaces.MultiDiscrete([3, 2]), [[1, 0], [0, 1]]),
        (spaces.MultiBinary(3), [[1, 0, 1], [0, 1, 0]]),
    ],
)
def test_free_teacher_of_discrete_actions_goes_by_the_sign(action_space: Any, expected: list[Any]) -> None:
    observations = np.float32([[0.5, -0.5, 0.1, 0.0], [-0.1, 0.2, -0.3, 0.0]])
    assert free_teacher_for(action_space)(observations).tolist() == expected
    assert all(action_space.contains(np.array(action)) for action in expected if isinstance(action, list))

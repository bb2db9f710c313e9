"""Environments by name."""

import sys
from collections.abc import Iterator

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_rpd.training.environments import is_function, is_maniskill2_task, make_environment

MADE: list[gym.Env] = []


def pendulum() -> gym.Env:
    MADE.append(gym.make("Pendulum-v1"))
    return MADE[-1]


def three_pendulums() -> DummyVecEnv:
    return DummyVecEnv([pendulum] * 3)


def no_environment() -> int:
    return 5


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    MADE.clear()
    yield
    MADE.clear()


def test_names_are_told_apart() -> None:
    assert is_function("my_package.envs:make")
    assert not is_function("CartPole-v1")
    assert not is_function("my_package:CartPole-v1")
    assert is_maniskill2_task("LiftCube-v0")
    assert not is_maniskill2_task("CartPole-v1")
    assert not is_maniskill2_task("my_package:LiftCube-v0")


def first_observations(env: DummyVecEnv | VecNormalize) -> np.ndarray:
    observations = env.reset()
    env.close()
    assert isinstance(observations, np.ndarray)
    return observations


def test_seeds_count_up_from_the_first_whatever_makes_the_environment() -> None:
    # gymnasium's own answer to these seeds
    expected = np.stack([gym.make("Pendulum-v1").reset(seed=seed)[0] for seed in (7, 8, 9)])
    named = make_environment("Pendulum-v1", 3, 7)
    made = make_environment(f"{__name__}:pendulum", 3, 7)
    vectorized = make_environment(f"{__name__}:three_pendulums", 1, 7)
    for env in (named, made, vectorized):
        assert env.num_envs == 3
        np.testing.assert_array_equal(first_observations(env), expected)


def test_a_function_is_called_once_for_each_environment() -> None:
    env = make_environment(f"{__name__}:pendulum", 2, None)
    assert [one.unwrapped for one in env.envs] == [one.unwrapped for one in MADE]
    env.close()


def test_arguments_wrappers_and_frames_reach_the_environment() -> None:
    env = make_environment(
        "Pendulum-v1", 1, None, env_kwargs={"g": 1.5}, wrap=gym.wrappers.RecordEpisodeStatistics, needs_frames=True
    )
    assert env.get_attr("g") == [1.5]
    assert env.env_is_wrapped(gym.wrappers.RecordEpisodeStatistics) == [True]
    assert env.render_mode == "rgb_array"
    env.close()


@pytest.mark.maniskill2
def test_maniskill2_was_asked_too() -> None:
    with pytest.raises(ValueError, match="ManiSkill2 has none of that name either"):
        make_environment("Pendulum-v99", 1, 0)


def test_without_maniskill2_its_tasks_are_not_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    # as if it were not installed
    monkeypatch.setitem(sys.modules, "mani_skill2.envs", None)
    with pytest.raises(ValueError, match=r"If it is one of ManiSkill2's: .*sb3_rpd\[maniskill2\]|needs Python"):
        make_environment("TurnFaucet-v7", 1, 0)


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("Pendulum-v99", {}, "There is no environment 'Pendulum-v99': .* environments: \\[ `v1` \\]"),
        ("Pendulum-v1", {"gravity": 3}, r"Pendulum-v1 cannot be made with env_kwargs=\{'gravity': 3\}"),
        (f"{__name__}:pendulum", {"g": 3}, "is a function: set them in it"),
        (f"{__name__}:no_environment", {}, "made a int, and no environment"),
    ],
)
def test_mistakes_are_named(name: str, kwargs: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_environment(name, 1, 0, env_kwargs=kwargs)

"""A teacher in the place of the learning rate: it is named, and schedules of any kind are left alone."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from toy_envs import ACTION_SPACES, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.rpd.misplaced_teacher import naming_misplaced_teacher

BOX = ACTION_SPACES["box"]
TEACH = scripted_teacher(BOX)


class Expert(Teacher):
    def predict(self, observations: Any, instructions: Any = None) -> np.ndarray:
        return TEACH(observations)


@pytest.mark.parametrize(
    ("teacher", "name"),
    [
        (TEACH, r"scripted_teacher\.<locals>\.teach at toy_envs\.py:\d+"),
        (lambda o: np.zeros((len(o), 2)), r"<lambda> at test_misplaced_teacher\.py:\d+"),
        (lambda o: o["state"], r"<lambda> at test_misplaced_teacher\.py:\d+"),
        (lambda o: -3.0 * np.asarray(o), r"<lambda> at test_misplaced_teacher\.py:\d+"),
        (lambda obs: 2 * obs, r"<lambda> at test_misplaced_teacher\.py:\d+"),
        (Expert(), r"test_misplaced_teacher\.Expert"),
        (Expert, r"test_misplaced_teacher\.Expert"),
        ("experts:make", r"'experts:make'"),
        (PPO("MlpPolicy", SpacesEnv(BOX), n_steps=2, batch_size=2).predict, r"BaseAlgorithm\.predict at base_class\.py"),
    ],
)
def test_teacher_in_the_place_of_the_learning_rate_is_named(teacher: Any, name: str) -> None:
    with pytest.raises(
        TypeError, match=rf"learning_rate, is {name}.*, which is no learning rate.*RPD\(policy, env, teacher=\.\.\.\)"
    ):
        RPD("MlpPolicy", SpacesEnv(BOX), teacher)


def test_schedules_are_called_as_often_as_by_ppo_and_other_errors_stay() -> None:
    calls: dict[str, list[float]] = {"PPO": [], "RPD": []}
    for algorithm in (PPO, RPD):

        def schedule(progress: float, log: list[float] = calls[algorithm.__name__]) -> float:
            log.append(progress)
            return 1e-3

        algorithm("MlpPolicy", SpacesEnv(BOX), schedule, n_steps=2, batch_size=2)
        with pytest.raises(TypeError, match="nonsense"):
            algorithm("MlpPolicy", SpacesEnv(BOX), lambda progress: 1e-3, policy_kwargs={"nonsense": 1})
    assert calls["RPD"] == calls["PPO"]


# ---------------------------------------------------------------- without a model


class Halves:
    """A schedule with a state."""

    rate = 1.0

    def __call__(self, progress: float) -> float:
        self.rate /= 2
        return self.rate


def clipped(progress: float, obs_share: float = 1.0) -> float:
    return progress * obs_share


LEARNING_RATES = [
    3e-4,
    np.float32(1e-3),
    0,
    Halves(),
    partial(clipped, obs_share=0.5),
    math.sqrt,
    float,
    abs,
    lambda left: 0.0,
]


@pytest.mark.parametrize("learning_rate", LEARNING_RATES)
def test_error_of_a_model_with_a_learning_rate_is_its_own(learning_rate: Any) -> None:
    with pytest.raises(KeyError, match="net_arch"), naming_misplaced_teacher(learning_rate):
        raise KeyError("net_arch")


@pytest.mark.parametrize(
    "function", [lambda left: math.nan, lambda left: -1e-3, lambda left: math.inf, lambda left: "fast", lambda: 1e-3, np.stack]
)
def test_function_that_is_no_schedule_is_named_where_a_model_fails(function: Any) -> None:
    with naming_misplaced_teacher(function):
        pass
    with pytest.raises(TypeError, match="which is no learning rate") as caught, naming_misplaced_teacher(function):
        raise ValueError("rate")
    assert isinstance(caught.value.__cause__, ValueError)


def test_interruption_is_no_sign_of_a_teacher() -> None:
    with pytest.raises(KeyboardInterrupt), naming_misplaced_teacher(lambda left: math.nan):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    "function",
    [
        lambda observations: 1e-3,
        lambda observation: 1e-3,
        lambda x, obs=None: 1e-3,
        lambda x, *, instructions=None: 1e-3,
    ],
)
def test_function_with_a_teachers_parameter_is_named_before_anything_is_set_up(function: Any) -> None:
    """Also where it gives numbers that could be a schedule's."""
    is_set_up = False
    with pytest.raises(TypeError, match=r"learning_rate, is <lambda> at test_misplaced"), naming_misplaced_teacher(function):
        is_set_up = True
    assert not is_set_up

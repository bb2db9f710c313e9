"""What comes with the package for the zoo: hyperparameters, the teachers that they name, ids for ManiSkill2's tasks."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from stable_baselines3.common.env_util import make_vec_env

from examples import maniskill2_demo, quickstart
from experiments.worlds.maniskill2 import MANISKILL2
from sb3_rpd import check_teacher, recommended
from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wrappers import TEACHER_INFO_KEY
from sb3_rpd.evaluation import evaluate_teacher
from sb3_rpd.teachers import make_teacher
from sb3_rpd.zoo.commands import HYPERPARAMETERS, register
from sb3_rpd.zoo.tasks import (
    cart_pole,
    cart_pole_state,
    pendulum,
    show_privileged_state,
    show_state,
)

TASKS: dict[str, dict[str, Any]] = yaml.safe_load(HYPERPARAMETERS["rpd"].read_text(encoding="utf-8"))
HIDDEN: dict[str, dict[str, Any]] = yaml.safe_load(HYPERPARAMETERS["rpd_lstm"].read_text(encoding="utf-8"))


@pytest.fixture(autouse=True)
def registered() -> None:
    register()


def answers(teacher: Teacher, observations: RawObservation) -> np.ndarray:
    return TeacherOutput.of(teacher.predict(observations)).actions


def mean_return(name: str, teacher: Teacher) -> float:
    env = make_vec_env(name, 16, seed=0)
    return evaluate_teacher(teacher, env, 16, needs_success=False).mean_return


def test_the_teacher_of_the_pendulum_is_a_good_one() -> None:
    # At the bottom along the velocity; near the top -10 sine - 2 velocity
    states = np.array([[-1.0, 0.0, 1.0], [-1.0, 0.0, -1.0], [1.0, 0.0, 0.5], [0.995, 0.0998, 0.0]])
    np.testing.assert_allclose(answers(pendulum(), states)[:, 0], [2.0, -2.0, -1.0, -0.998])
    # The best that is known for Pendulum-v1 is about -150, doing nothing gives about -1200
    assert mean_return("Pendulum-v1", pendulum()) > -250.0


def test_the_teacher_of_the_pole_is_a_good_one() -> None:
    # Tilted to the right; to the left, but 3 right of the middle (3 + 1 - 3 - 0.8); to the left and 1 right of it (1 - 3)
    states = np.array([[0.0, 0.0, 0.1, 0.0], [3.0, 0.5, -0.1, -0.1], [1.0, 0.0, -0.1, 0.0]])
    assert answers(cart_pole(), states).tolist() == [1, 1, 0]
    assert mean_return("CartPole-v1", cart_pole()) == 500.0


def test_hyperparameters_are_those_of_the_documentation() -> None:
    lift = TASKS["sb3_rpd/LiftCube-v0"]
    apart = {"device", "learning_rate"}
    demo = {name: value for name, value in maniskill2_demo.SETTINGS.items() if name not in apart}
    assert {name: lift[name] for name in demo} == demo
    assert read_named_values({name: lift[name] for name in recommended()}) == recommended()
    # and those of the experiments
    world = MANISKILL2
    assert {name: lift[name] for name in world.settings if name not in apart} == demo
    assert world.settings["device"] == maniskill2_demo.SETTINGS["device"] == "cpu"
    # The zoo's name for a schedule from there to 0
    assert lift["learning_rate"] == "lin_0.001"
    for settings in (world.settings, maniskill2_demo.SETTINGS):
        assert repr(settings["learning_rate"]) == "LinearSchedule(start=0.001, end=0.0, end_fraction=1.0)"
    assert (lift["policy_kwargs"], lift["gamma"], lift["n_envs"]) == (world.policy_kwargs, 0.99, world.n_envs)
    assert (lift["imitation_coef"]["CosineCoef"]["start"], lift["normalize"]) == (world.coefs["mse"], {"norm_reward": False})
    pick = dict(TASKS["sb3_rpd/PickCube-v0"], n_timesteps=lift["n_timesteps"], teacher=lift["teacher"])
    assert pick == lift
    assert lift["env_kwargs"] == {"max_episode_steps": maniskill2_demo.EPISODE_STEPS}
    assert (lift["n_envs"], lift["n_timesteps"], TASKS["sb3_rpd/PickCube-v0"]["n_timesteps"]) == (8, 60_000, 300_000)
    swing_up = TASKS["Pendulum-v1"]
    assert {swing_up[name] == value for name, value in quickstart.SETTINGS.items() if name in swing_up} == {True}


def test_a_teacher_sees_the_velocities_that_its_student_does_not() -> None:
    seeing, of_state = cart_pole(), cart_pole_state()
    env, whole = show_state(gym.make("CartPoleNoVel-v1")), gym.make("CartPole-v1")
    student_sees, info = env.reset(seed=3)
    observation, _ = whole.reset(seed=3)
    for action in (whole.action_space.sample() for _ in range(10)):
        shown = info[TEACHER_INFO_KEY]["observation"]["state"]
        np.testing.assert_allclose(shown, observation, atol=1e-6)
        assert (student_sees != observation).any()
        assert answers(of_state, {"state": shown[np.newaxis]}) == answers(seeing, observation[np.newaxis])
        student_sees, _, _, _, info = env.step(action)
        observation = whole.step(action)[0]


@pytest.mark.parametrize("task", [*TASKS, *HIDDEN])
def test_teachers_are_there_and_tasks_have_ids(task: str) -> None:
    assert task in gym.registry
    assert make_teacher((TASKS | HIDDEN)[task]["teacher"]) is not None


@pytest.mark.maniskill2
def test_the_teacher_of_a_cube_sees_what_it_wants() -> None:
    env = show_privileged_state(gym.make("sb3_rpd/LiftCube-v0", **TASKS["sb3_rpd/LiftCube-v0"]["env_kwargs"]))
    checked = check_teacher(make_teacher(TASKS["sb3_rpd/LiftCube-v0"]["teacher"]), env)
    assert checked.complaint is None
    assert env.get_wrapper_attr("reward_mode") == "dense"

    env.reset(seed=0)
    ends = [env.step(np.zeros(7, np.float32))[2:4] for _ in range(100)]
    env.close()
    assert ends == [(False, False)] * 99 + [(False, True)]

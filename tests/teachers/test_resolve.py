"""make_teacher accepts each kind of teacher and names what is wrong with anything else."""

import sys
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers import FunctionTeacher, SB3Teacher, ScriptedTeacher, make_teacher


@pytest.fixture
def some_module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("some_module")
    monkeypatch.setitem(sys.modules, "some_module", module)
    return module


def zeros(observations: np.ndarray) -> np.ndarray:
    return np.zeros((len(observations), 1))


def test_teacher_is_itself() -> None:
    teacher = FunctionTeacher(zeros)
    assert make_teacher(teacher) is teacher


def test_model_becomes_an_sb3_teacher() -> None:
    model = PPO("MlpPolicy", gym.make("CartPole-v1"), n_steps=8, batch_size=8)
    teacher = make_teacher(model)
    assert isinstance(teacher, SB3Teacher)
    assert teacher.model is model


def test_function_becomes_a_function_teacher() -> None:
    teacher = make_teacher(zeros)
    assert isinstance(teacher, FunctionTeacher)
    assert teacher.function is zeros


def test_factory_is_called_and_its_result_resolved(some_module: ModuleType) -> None:
    teacher = FunctionTeacher(zeros)
    some_module.make = lambda: teacher
    some_module.make_function = lambda: zeros
    some_module.make_by_name = lambda: "some_module:make"
    assert make_teacher("some_module:make") is teacher
    assert make_teacher("some_module:make_by_name") is teacher
    assert make_teacher("some_module:make_function").function is zeros


@pytest.mark.parametrize("name", ["some_module", "some_module:", ":make", ""])
def test_malformed_name(name: str) -> None:
    with pytest.raises(TeacherError, match=r"'package\.module:factory'"):
        make_teacher(name)


def test_missing_module_and_factory(some_module: ModuleType) -> None:
    with pytest.raises(TeacherError, match=r"no_such_package:make.*No module named 'no_such_package'"):
        make_teacher("no_such_package:make")
    with pytest.raises(TeacherError, match=r"'some_module'.*nothing called 'mkae'"):
        make_teacher("some_module:mkae")
    some_module.number = 3
    with pytest.raises(TeacherError, match="names a int, which is no factory"):
        make_teacher("some_module:number")


def test_everything_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"package\.module:factory.*this is a int"):
        make_teacher(3)
    with pytest.raises(TypeError, match="the class ScriptedTeacher, not an instance"):
        make_teacher(ScriptedTeacher)
    policy = PPO("MlpPolicy", gym.make("CartPole-v1"), n_steps=8, batch_size=8).policy
    with pytest.raises(TypeError, match="this is a ActorCriticPolicy"):
        make_teacher(policy)

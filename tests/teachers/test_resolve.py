"""make_teacher accepts each kind of teacher and names what is wrong with anything else."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.teachers import DegradedTeacher, FunctionTeacher, SB3Teacher, ScriptedTeacher, make_teacher


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
    with pytest.raises(TeacherError, match=r"'some_module:mkae' is not there: its module has nothing called 'mkae'"):
        make_teacher("some_module:mkae")
    some_module.number = 3
    with pytest.raises(TeacherError, match="names a int, which is no factory"):
        make_teacher("some_module:number")


def test_everything_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"package\.module:factory.*this is 3, of type int"):
        make_teacher(3)

    class Predicts:
        def predict(self, observations: np.ndarray) -> np.ndarray:
            return zeros(observations)

    with pytest.raises(TypeError, match="of type Predicts: let that inherit from Teacher"):
        make_teacher(Predicts())
    with pytest.raises(TypeError, match=r"the class ScriptedTeacher, not an instance of it: write ScriptedTeacher\(\.\.\.\)"):
        make_teacher(ScriptedTeacher)


@pytest.fixture
def model() -> PPO:
    return PPO("MlpPolicy", gym.make("CartPole-v1"), n_steps=8, batch_size=8)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (lambda model: model.predict, r"BaseAlgorithm\.predict at base_class\.py:\d+, a method.*: pass the model itself"),
        (lambda model: model.policy.predict, r"BasePolicy\.predict at policies\.py:\d+, a method.*: pass the model itself"),
        (lambda model: partial(model.predict, deterministic=False), r"SB3Teacher\(model, deterministic=False\)"),
        (lambda model: model.policy, "the ActorCriticPolicy of a model: pass the model itself"),
    ],
)
def test_of_a_model_the_whole_is_wanted(model: PPO, part: Callable[[PPO], Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make_teacher(part(model))


def test_a_saved_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "expert.zip").touch()
    monkeypatch.chdir(tmp_path)
    for name in ("expert", "expert.zip", "nowhere/expert.zip", str(tmp_path / "expert")):
        with pytest.raises(TeacherError, match=rf"'{name}' is a file: for a saved model write SB3Teacher\('{name}'\)"):
            make_teacher(name)
    with pytest.raises(TypeError, match=r"a path: for a saved model write SB3Teacher\('expert\.zip'\)"):
        make_teacher(Path("expert.zip"))


def test_a_name_of_the_teacher_in_place_of_its_factory(some_module: ModuleType) -> None:
    some_module.zeros = zeros
    with pytest.raises(
        TeacherError,
        match=r"'some_module:zeros' names zeros at test_resolve\.py:\d+, which cannot be called without arguments: missing a "
        r"required argument: 'observations'.*says `return zeros`, or pass the function",
    ):
        make_teacher("some_module:zeros")
    some_module.Scripted = ScriptedTeacher
    with pytest.raises(TeacherError, match=r"maniskill2\.ScriptedTeacher, which cannot .*'task'"):
        make_teacher("some_module:Scripted")
    some_module.nothing = lambda: None
    with pytest.raises(TeacherError, match=r"The factory 'some_module:nothing' made no teacher.*None, of type NoneType"):
        make_teacher("some_module:nothing")


def test_teachers_have_names() -> None:
    class Mine(Teacher):
        def predict(self, observations: Any, instructions: Any = None) -> np.ndarray:
            return zeros(observations)

    here = f"zeros at test_resolve.py:{zeros.__code__.co_firstlineno}"
    assert repr(make_teacher(zeros)) == f"FunctionTeacher({here})"
    assert repr(DegradedTeacher(zeros)) == f"DegradedTeacher(FunctionTeacher({here}))"
    assert repr(Mine()) == f"{__name__}.test_teachers_have_names.<locals>.Mine"
    assert repr(ScriptedTeacher("PickCube-v0")) == "ScriptedTeacher('PickCube-v0')"


def test_names_and_functions_of_any_length_are_cut() -> None:
    for spec in ("x" * 10_000, f"{'x' * 10_000}.zip", f"{'x' * 4_000}:y", list(range(10_000)), Path("y" * 10_000)):
        with pytest.raises((TypeError, TeacherError)) as caught:
            make_teacher(spec)
        assert len(str(caught.value)) < 1_000

"""FunctionTeacher hands on what it gets, with instructions where the function wants them."""

from functools import partial

import numpy as np
import pytest

from sb3_rpd.teachers import FunctionTeacher, TeacherOutput

OBSERVATIONS = np.arange(6.0).reshape(3, 2)


def test_function_of_observations() -> None:
    answer = FunctionTeacher(lambda observations: 2 * observations).predict(OBSERVATIONS, ["go"] * 3).actions
    np.testing.assert_array_equal(answer, [[0, 2], [4, 6], [8, 10]])


def test_function_of_observations_and_instructions() -> None:
    def obey(observations: dict[str, np.ndarray], instructions: list[str] | None = None) -> np.ndarray:
        return observations["x"] * np.array([[-1 if text == "back" else 1] for text in instructions or []])

    answer = FunctionTeacher(obey).predict({"x": OBSERVATIONS}, ["on", "back", "on"]).actions
    np.testing.assert_array_equal(answer, [[0, 1], [-2, -3], [4, 5]])


def test_methods_partials_and_builtins() -> None:
    class Controller:
        def __call__(self, observations: np.ndarray, *, instructions: list[str]) -> np.ndarray:
            return observations + len(instructions[0])

    def scale(factor: float, observations: np.ndarray) -> np.ndarray:
        return factor * observations

    np.testing.assert_array_equal(FunctionTeacher(Controller()).predict(OBSERVATIONS, ["abc"] * 3).actions, OBSERVATIONS + 3)
    np.testing.assert_array_equal(FunctionTeacher(partial(scale, 3.0)).predict(OBSERVATIONS).actions, 3 * OBSERVATIONS)
    # numpy's own functions have no signature that Python could read
    np.testing.assert_array_equal(FunctionTeacher(np.negative).predict(OBSERVATIONS, ["go"] * 3).actions, -OBSERVATIONS)


def test_distribution_passes_through() -> None:
    output = TeacherOutput(OBSERVATIONS, std=np.ones_like(OBSERVATIONS))
    teacher = FunctionTeacher(lambda observations: output, gives_distribution=True)
    assert teacher.gives_distribution
    assert teacher.predict(OBSERVATIONS) is output
    assert not FunctionTeacher(lambda observations: output).gives_distribution


def test_unfit_signature_is_named() -> None:
    with pytest.raises(TypeError, match=r"\(observations, goal\).*goal.*functools\.partial"):
        FunctionTeacher(lambda observations, goal: observations)
    with pytest.raises(TypeError, match="can be called"):
        FunctionTeacher(3)

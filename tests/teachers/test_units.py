"""Conversions of grippers and the check of ranges, with numbers by hand; and the same conversions on every teacher."""

import pickle
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers import (
    DegradedTeacher,
    FunctionTeacher,
    OpenPITeacher,
    TeacherServer,
    inverted_gripper,
    signed_gripper,
)
from sb3_rpd.teachers.units import check_range, make_conversion

ACTIONS = np.array([[0.1, 0.0], [0.2, 1.0], [0.3, 0.75], [np.nan, np.nan]])
STD = np.array([[1.0, 0.5], [2.0, 0.25], [3.0, 0.0], [np.nan, np.nan]])

#: How a gripper goes through each of them, and what becomes of its standard deviation.
EXPECTED = {
    "signed_gripper": ([-1.0, 1.0, 0.5, np.nan], [1.0, 0.5, 0.0, np.nan]),
    "inverted_gripper": ([0.0, -1.0, -0.75, np.nan], [0.5, 0.25, 0.0, np.nan]),
    # OpenVLA's 0 = closed, 1 = open for LIBERO, where -1 opens and +1 closes
    ("signed_gripper", "inverted_gripper"): ([1.0, -1.0, -0.5, np.nan], [1.0, 0.5, 0.0, np.nan]),
    None: (ACTIONS[:, 1], STD[:, 1]),
}


@pytest.mark.parametrize("name", EXPECTED, ids=str)
def test_only_the_gripper_is_converted_with_its_standard_deviation(name: Any) -> None:
    gripper, std = EXPECTED[name]
    clipped = np.array([0, 1, 0, 0])
    output = make_conversion(name, gives_distribution=True).output(TeacherOutput(ACTIONS, std=STD, clipped=clipped))
    assert output.clipped is clipped
    np.testing.assert_allclose(output.actions, np.column_stack([ACTIONS[:, 0], gripper]))
    np.testing.assert_allclose(output.std, np.column_stack([STD[:, 0], std]))


def test_names_and_objects_are_the_same() -> None:
    assert make_conversion("signed_gripper") is signed_gripper
    assert make_conversion("inverted_gripper") is inverted_gripper
    assert make_conversion(signed_gripper) is signed_gripper
    # they go into the factories of teachers in other processes
    assert pickle.loads(pickle.dumps(signed_gripper)) == signed_gripper


def test_without_a_conversion_an_answer_stays_what_it_is() -> None:
    output = TeacherOutput(np.array([1, 2]), logits=np.zeros((2, 3)))
    assert make_conversion(None, gives_distribution=True).output(output) is output


def test_a_function_maps_actions_and_loses_the_distribution() -> None:
    conversion = make_conversion([np.negative, "signed_gripper"])
    output = conversion.output(TeacherOutput(np.array([[0.5, -1.0]]), std=np.ones((1, 2))))
    assert output.actions.tolist() == [[-0.5, 1.0]]
    assert output.std is None
    for spec in (np.negative, [np.negative, "signed_gripper"]):
        with pytest.raises(ValueError, match=r"maps actions only.*signed_gripper, inverted_gripper"):
            make_conversion(spec, gives_distribution=True)


def test_what_is_no_conversion_is_named() -> None:
    with pytest.raises(ValueError, match=r"no conversion 'maniskill' .*'signed_gripper', 'inverted_gripper' and None"):
        make_conversion("maniskill")
    with pytest.raises(TypeError, match="of type float"):
        make_conversion(2.0)
    with pytest.raises(TeacherError, match=r"actions of shape \(3,\) have none"):
        signed_gripper(np.zeros(3))


@given(arrays(np.float32, (3, 4), elements=st.floats(-1, 1, width=32)))
def test_inverting_twice_changes_nothing_and_precision_is_kept(actions: np.ndarray) -> None:
    twice = inverted_gripper(inverted_gripper(actions))
    assert twice.dtype == np.float32
    np.testing.assert_array_equal(twice, actions)
    np.testing.assert_array_equal(signed_gripper(actions)[:, :3], actions[:, :3])
    np.testing.assert_array_equal(signed_gripper(actions)[:, 3], 2 * actions[:, 3] - 1)


# ---------------------------------------------------------------- on teachers


def gaussian(observations: np.ndarray) -> TeacherOutput:
    return TeacherOutput(observations, std=np.full(observations.shape, 0.25))


def test_a_functions_answer_is_converted_and_so_is_what_wraps_it() -> None:
    teacher = FunctionTeacher(gaussian, gives_distribution=True, convert_actions="signed_gripper")
    output = teacher.predict(ACTIONS[:3])
    np.testing.assert_allclose(output.actions[:, 1], [-1.0, 1.0, 0.5])
    np.testing.assert_allclose(output.std, [[0.25, 0.5]] * 3)
    degraded = DegradedTeacher(FunctionTeacher(lambda observations: observations, convert_actions="inverted_gripper"))
    degraded.setup(spaces.Box(-1, 1, (2,)))
    np.testing.assert_allclose(np.asarray(degraded.predict(ACTIONS[:3]))[:, 1], [0.0, -1.0, -0.75])


def test_a_distribution_is_converted_behind_a_server() -> None:
    with TeacherServer(FunctionTeacher(gaussian, gives_distribution=True), port=0) as server:
        teacher = OpenPITeacher(server.url, gives_distribution=True, convert_actions="signed_gripper")
        output = teacher.predict(ACTIONS[:3])
        teacher.close()
    np.testing.assert_allclose(output.actions[:, 1], [-1.0, 1.0, 0.5])
    np.testing.assert_allclose(output.std, [[0.25, 0.5]] * 3)


# ---------------------------------------------------------------- ranges

BOX = spaces.Box(np.array([-1.0, 0.0, -np.inf], np.float32), np.array([1.0, 10.0, np.inf], np.float32))


@pytest.mark.parametrize(
    ("low", "high"),
    [
        ([-1, 0, 0], [1, 10, 1e9]),
        ([-0.01, 9.9, 5], [0.01, 10.1, 5]),
        ([-1.9, 0, 0], [1.9, 10, 0]),  # 1.8 of 3.8 outside
        ([1, 0, 0], [1, 0, 0]),
    ],
)
def test_ranges_that_are_mostly_inside_fit(low: list[float], high: list[float]) -> None:
    check_range(np.array(low), np.array(high), BOX, teacher="It", cure="")


@pytest.mark.parametrize(
    ("low", "high", "named"),
    [
        ([-25, 0, 0], [25, 1, 1], r"number 0 goes from -25 to 25, .* from -1 to 1 \(1 of 3"),
        ([-3, 0, 0], [1, 1, 1], r"number 0 goes from -3 to 1"),  # a signed gripper that is signed again
        ([-1, 0, 0], [1, 1000, 1], r"number 1 goes from 0 to 1000, .* from 0 to 10 "),
        ([2, -5, 0], [3, -4, 1], r"number 0 goes from 2 to 3, .*2 of 3"),
        ([1.5, 0, 0], [1.5, 1, 0], r"number 0 goes from 1.5 to 1.5"),
    ],
)
def test_ranges_that_are_half_outside_are_of_other_units(low: list[float], high: list[float], named: str) -> None:
    with pytest.raises(TeacherError, match=rf"^The actions of it are in other units.*{named}.*Do this\.$"):
        check_range(np.array(low), np.array(high), BOX, teacher="it", cure="Do this.")

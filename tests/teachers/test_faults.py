"""Systematic faults of a teacher: each by hand, in combination, and in the actions of ManiSkill2's scripted controller."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.envs.cube_state import CUBE_STATE_SIZE, CUBE_STATE_SLICES
from sb3_rpd.teachers import DegradedTeacher, ScriptedTeacher
from sb3_rpd.teachers.faults import Inversion, Misperception, Stall, hand_to_cube, misjudged_cube, stall_near_cube

WIDE = spaces.Box(-100, 100, (3,))


def degraded(**settings: Any) -> DegradedTeacher:
    """An inner teacher that answers with its observation, made worse."""
    teacher = DegradedTeacher(lambda observations: observations, **settings)
    teacher.setup(WIDE)
    return teacher


def first_number(observations: Any) -> np.ndarray:
    return np.abs(observations[:, 0])


def test_inversion_changes_the_sign_of_its_dimensions() -> None:
    states = np.array([[1.0, -2.0, 3.0], [0.5, 0.0, -4.0]])
    np.testing.assert_array_equal(degraded(faults=[Inversion(2)]).predict(states), [[1, -2, -3], [0.5, 0, 4]])
    np.testing.assert_array_equal(degraded(faults=[Inversion((0, 1))]).predict(states), [[-1, 2, 3], [-0.5, 0, -4]])


def test_stall_holds_from_its_distance_on() -> None:
    states = np.array([[0.25, 2.0, 3.0], [0.5, 2.0, 3.0], [0.75, 2.0, 3.0]])
    answer = degraded(faults=[Stall(first_number, within=0.5, dimensions=slice(0, 2))]).predict(states)
    np.testing.assert_array_equal(answer, [[0, 0, 3], [0, 0, 3], [0.75, 2, 3]])


def test_misperception_shifts_what_is_seen_and_leaves_the_array_alone() -> None:
    states = np.array([[1.0, 2.0, 3.0]])
    answer = degraded(faults=[Misperception((0.5, -0.25), (0, 2))]).predict(states)
    np.testing.assert_array_equal(answer, [[1.5, 2, 2.75]])
    np.testing.assert_array_equal(states, [[1, 2, 3]])


def test_faults_act_one_after_the_other_and_noise_and_bias_come_on_top() -> None:
    faults = [Misperception(0.5, 1), Inversion(1), Stall(first_number, within=0.5, dimensions=1)]
    states = np.array([[2.0, 3.0, 0.0], [0.25, 3.0, 0.0]])
    answer = degraded(faults=faults, bias=[0.0, 10.0, 0.0]).predict(states)
    # seen as 3.5, inverted to -3.5, with the bias 6.5; in the second row the stall makes it 0, with the bias 10
    np.testing.assert_array_equal(answer, [[2, 6.5, 0], [0.25, 10, 0]])
    noisy = degraded(faults=faults, noise_std=1.0, seed=5).predict(states) - degraded(noise_std=1.0, seed=5).predict(
        0 * states
    )
    np.testing.assert_allclose(noisy, [[2, -3.5, 0], [0.25, 0, 0]], atol=1e-6)


def test_the_past_is_misperceived_too() -> None:
    teacher = DegradedTeacher(
        lambda observations: observations["x"], faults=[Misperception(1.0, 2, name="x")], gripper_delay=2
    )
    teacher.setup(WIDE)
    past = np.array([[[0.0, 0.0, 10.0], [0.0, 0.0, 20.0]]])  # two steps ago, one step ago
    answer = teacher.predict({"x": np.array([[1.0, 2.0, 30.0]]), "x_past": past})
    np.testing.assert_array_equal(answer, [[1, 2, 11]])


def test_observations_of_other_kinds_are_named() -> None:
    with pytest.raises(TeacherError, match=r"single array.*'x', 'y'"):
        Misperception(1.0, 0).see({"x": np.zeros((1, 3)), "y": np.zeros((1, 3))})
    with pytest.raises(TeacherError, match=r"'x'.*a single array"):
        Misperception(1.0, 0, name="x").see(np.zeros((1, 3)))
    with pytest.raises(TeacherError, match=r"'privileged'.*'x'"):
        hand_to_cube({"x": np.zeros((1, 3))})


def cube_states(**fields: tuple[float, ...]) -> dict[str, np.ndarray]:
    """One privileged state: open fingers 20 cm above the table, the hand looks down."""
    at_rest = {"tcp_position": (0, 0, 0.2), "tcp_quaternion": (0, 1, 0, 0), "finger_positions": (0.04, 0.04)}
    values = {**at_rest, "acts_by_delta_pose": (1,), **fields}
    state = np.zeros((1, CUBE_STATE_SIZE), np.float32)
    for name, value in values.items():
        state[:, CUBE_STATE_SLICES[name]] = value
    return {"privileged": state}


def lift(faults: list[Any], states: dict[str, np.ndarray]) -> np.ndarray:
    teacher = DegradedTeacher(ScriptedTeacher("LiftCube-v0"), faults=faults)
    teacher.setup(spaces.Box(-1, 1, (7,), np.float32))
    return teacher.predict(states)


def test_misjudged_cube_makes_the_hand_go_beside_it() -> None:
    # 13 cm above the cube: the hand's z axis points down, so straight down is (0, 0, 1). A cube seen 3 cm further along x is
    # the same as a cube that is there
    here, there = cube_states(cube_position=(0, 0, 0.02)), cube_states(cube_position=(0.03, 0, 0.02))
    np.testing.assert_allclose(lift([], here)[0], [0, 0, 1, 0, 0, 0, 1], atol=1e-6)
    answer = lift([misjudged_cube((0.03, 0.0, 0.0))], here)
    np.testing.assert_allclose(answer, lift([], there), atol=1e-6)
    # the funnel is 2.5 (0.03 - 0.012) = 0.045 high: a way of (0.03, 0, -0.135), cut to length 1
    np.testing.assert_allclose(answer[0, :3], np.array([0.03, 0, 0.135]) / np.hypot(0.03, 0.135), atol=1e-5)


def test_stall_near_the_cube_stops_the_hand_and_not_the_fingers() -> None:
    near = cube_states(cube_position=(0, 0, 0.02), tcp_position=(0.0, 0.03, 0.06))
    assert hand_to_cube(near) == pytest.approx([0.05])
    assert np.linalg.norm(lift([stall_near_cube(0.049)], near)[0, :3]) > 0.5
    np.testing.assert_array_equal(lift([stall_near_cube(0.051)], near)[0], [0, 0, 0, 0, 0, 0, 1])

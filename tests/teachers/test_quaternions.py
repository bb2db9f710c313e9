"""Quaternions against rotations worked out by hand and against Rodrigues' rotation matrix."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_rpd.teachers.quaternions import from_axis_angle, inverse, multiply, rotate, to_rotation_vector

HALF = np.sqrt(0.5)
QUARTER_ABOUT_X = np.array([HALF, HALF, 0.0, 0.0])
QUARTER_ABOUT_Z = np.array([HALF, 0.0, 0.0, HALF])

vectors = arrays(np.float64, 3, elements=st.floats(-2, 2))
axes = vectors.filter(lambda v: np.linalg.norm(v) > 0.1).map(lambda v: v / np.linalg.norm(v))
angles = st.floats(-3.1, 3.1)


def rodrigues(axis: np.ndarray, angle: float) -> np.ndarray:
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def test_quarter_turns_by_hand() -> None:
    x, y, z = np.eye(3)
    assert rotate(QUARTER_ABOUT_Z, x) == pytest.approx(y)
    assert rotate(QUARTER_ABOUT_X, y) == pytest.approx(z)
    # about x first: y goes to z, which the turn about z leaves alone; the other way round y goes to -x
    assert rotate(multiply(QUARTER_ABOUT_Z, QUARTER_ABOUT_X), y) == pytest.approx(z)
    assert rotate(multiply(QUARTER_ABOUT_X, QUARTER_ABOUT_Z), y) == pytest.approx(-x)
    assert to_rotation_vector(QUARTER_ABOUT_Z) == pytest.approx([0, 0, np.pi / 2])


def test_batches_are_rows() -> None:
    quaternions = np.stack([QUARTER_ABOUT_X, QUARTER_ABOUT_Z])
    x, y, z = np.eye(3)
    np.testing.assert_allclose(rotate(quaternions, np.stack([y, x])), [z, y], atol=1e-12)
    np.testing.assert_allclose(rotate(quaternions, y), [z, -x], atol=1e-12)
    np.testing.assert_allclose(to_rotation_vector(quaternions), np.pi / 2 * np.stack([x, z]))
    np.testing.assert_allclose(from_axis_angle(np.stack([x, z]), np.full(2, np.pi / 2)), quaternions)


@given(axes, angles, vectors)
def test_rotate_is_the_rotation_matrix(axis: np.ndarray, angle: float, vector: np.ndarray) -> None:
    quaternion = from_axis_angle(axis, np.array(angle))
    np.testing.assert_allclose(rotate(quaternion, vector), rodrigues(axis, angle) @ vector, atol=1e-12)
    np.testing.assert_allclose(rotate(inverse(quaternion), vector), rodrigues(axis, -angle) @ vector, atol=1e-12)


@given(axes, angles)
def test_rotation_vector_is_axis_times_angle(axis: np.ndarray, angle: float) -> None:
    quaternion = from_axis_angle(axis, np.array(angle))
    np.testing.assert_allclose(to_rotation_vector(quaternion), axis * angle, atol=1e-9)
    np.testing.assert_allclose(to_rotation_vector(-quaternion), axis * angle, atol=1e-9)


def test_no_rotation_has_no_rotation_vector() -> None:
    np.testing.assert_array_equal(to_rotation_vector(np.array([[1.0, 0, 0, 0], [-1.0, 0, 0, 0]])), np.zeros((2, 3)))


@given(axes, angles, axes, angles)
def test_product_composes(axis: np.ndarray, angle: float, other_axis: np.ndarray, other_angle: float) -> None:
    product = multiply(from_axis_angle(axis, np.array(angle)), from_axis_angle(other_axis, np.array(other_angle)))
    expected = rodrigues(axis, angle) @ rodrigues(other_axis, other_angle)
    np.testing.assert_allclose(np.stack([rotate(product, unit) for unit in np.eye(3)], axis=1), expected, atol=1e-12)

"""Rotations as unit quaternions in the order w, x, y, z: arrays of shape (..., 4)."""

import numpy as np


def multiply(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """
    The Hamilton product: the rotation ``second`` followed by ``first``.

    :param first: Quaternions of shape (..., 4).
    :param second: Quaternions of shape (..., 4).
    """
    w1, x1, y1, z1 = np.moveaxis(first, -1, 0)
    w2, x2, y2, z2 = np.moveaxis(second, -1, 0)
    return np.stack(
        [
            w1 * w2 - x1 * x2 - y1 * y2 - z1 * z2,
            w1 * x2 + x1 * w2 + y1 * z2 - z1 * y2,
            w1 * y2 - x1 * z2 + y1 * w2 + z1 * x2,
            w1 * z2 + x1 * y2 - y1 * x2 + z1 * w2,
        ],
        axis=-1,
    )


def inverse(quaternion: np.ndarray) -> np.ndarray:
    """
    The opposite rotation.

    :param quaternion: Unit quaternions of shape (..., 4).
    """
    return np.asarray(quaternion * np.array([1.0, -1.0, -1.0, -1.0]))


def rotate(quaternion: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """
    Rotate vectors.

    :param quaternion: Unit quaternions of shape (..., 4).
    :param vector: Vectors of shape (..., 3).
    """
    axis = quaternion[..., 1:]
    twice = 2 * np.cross(axis, vector)
    return np.asarray(vector + quaternion[..., :1] * twice + np.cross(axis, twice))


def from_axis_angle(axis: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """
    The rotation about an axis.

    :param axis: Unit vectors of shape (..., 3).
    :param angle: Angles in radians, of shape (...).
    """
    half = np.asarray(angle)[..., np.newaxis] / 2
    return np.concatenate([np.cos(half), np.sin(half) * axis], axis=-1)


def to_rotation_vector(quaternion: np.ndarray) -> np.ndarray:
    """
    Axis times angle of the shorter way round, so an angle of at most pi.

    :param quaternion: Unit quaternions of shape (..., 4); q and -q mean the same.
    """
    real, imaginary = quaternion[..., :1], quaternion[..., 1:]
    sine = np.linalg.norm(imaginary, axis=-1, keepdims=True)
    angle = 2 * np.arctan2(sine, np.abs(real))
    # the limit for angle -> 0 is 2
    ratio = np.divide(angle, sine, out=np.full_like(sine, 2.0), where=sine > 1e-9)
    return np.asarray(np.where(real < 0, -1.0, 1.0) * ratio * imaginary)

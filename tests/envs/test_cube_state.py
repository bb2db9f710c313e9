"""The array of a cube task's state, and its layout (sb3_rpd/envs/cube_state.py)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.envs import CubeState
from sb3_rpd.envs.cube_state import CUBE_STATE_SIZE, CUBE_STATE_SLICES


def test_layout() -> None:
    """Which recorded demonstrations and served teachers keep to."""
    state = CubeState.unpack(np.arange(30))
    assert {name: field.tolist() for name, field in state._asdict().items()} == {
        "tcp_position": [0, 1, 2],
        "tcp_quaternion": [3, 4, 5, 6],
        "finger_positions": [7, 8],
        "cube_position": [9, 10, 11],
        "cube_quaternion": [12, 13, 14, 15],
        "goal_position": [16, 17, 18],
        "joint_velocities": [19, 20, 21, 22, 23, 24, 25, 26, 27],
        "is_grasped": 28,
        "acts_by_delta_pose": 29,
    }


@given(st.lists(st.integers(0, 4), max_size=3))
def test_unpack_views_any_batch(batch_shape: list[int]) -> None:
    batch = np.arange(np.prod(batch_shape, dtype=int) * CUBE_STATE_SIZE, dtype=np.float32)
    batch = batch.reshape(*batch_shape, CUBE_STATE_SIZE)
    state = CubeState.unpack(batch)
    assert state.is_grasped.shape == tuple(batch_shape)
    for name, where in CUBE_STATE_SLICES.items():
        np.testing.assert_array_equal(
            np.atleast_1d(getattr(state, name).T).T.reshape(batch[..., where].shape), batch[..., where]
        )
        assert batch.size == 0 or np.shares_memory(getattr(state, name), batch)


def test_unpack_refuses_another_size() -> None:
    with pytest.raises(ValueError, match=r"30 numbers, got an array of shape \(3, 42\)"):
        CubeState.unpack(np.zeros((3, 42)))

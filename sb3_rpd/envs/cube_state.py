"""What a scripted teacher may know about the cube tasks, as one flat array with a documented layout."""

from typing import NamedTuple

import numpy as np


class CubeState(NamedTuple):
    """
    The state of a cube task of ManiSkill2 or ManiSkill3; one row or, with leading axes, a batch of rows.

    Positions are in metres in the world frame (z up), quaternions in the order w, x, y, z.

    :param tcp_position: The point between the finger tips; (..., 3).
    :param tcp_quaternion: Its orientation: z is the approach direction, the fingers close along y; (..., 4).
    :param finger_positions: Distance of each finger from the closed position, 0 to 0.04 m; (..., 2).
    :param cube_position: Center of the cube to move (StackCube: the red one), 4 cm wide; (..., 3).
    :param cube_quaternion: Its orientation; (..., 4).
    :param goal_position: Where its center is to go: the marker's position in LiftCube (straight above the start) and
        PickCube, 4 cm above the center of the green cube in StackCube; (..., 3).
    :param joint_velocities: Of the seven arm joints (rad/s) and of the two fingers (m/s); (..., 9).
    :param is_grasped: 1 where both fingers press on the cube, by the task's own test, otherwise 0; (...).
    :param acts_by_delta_pose: 1 where an action is one of the control mode pd_ee_delta_pose, which scripted teachers
        answer in, otherwise 0. Other modes have the same action space and mean another thing; (...).
    """

    tcp_position: np.ndarray
    tcp_quaternion: np.ndarray
    finger_positions: np.ndarray
    cube_position: np.ndarray
    cube_quaternion: np.ndarray
    goal_position: np.ndarray
    joint_velocities: np.ndarray
    is_grasped: np.ndarray
    acts_by_delta_pose: np.ndarray

    @classmethod
    def unpack(cls, state: np.ndarray) -> "CubeState":
        """
        Read what ``privileged_state`` wrote, without copying.

        :param state: Array of shape (..., ``CUBE_STATE_SIZE``).
        :raises ValueError: if the last axis has another size.
        """
        if state.shape[-1] != CUBE_STATE_SIZE:
            raise ValueError(f"a privileged state has {CUBE_STATE_SIZE} numbers, got an array of shape {state.shape}")
        fields = {name: state[..., where] for name, where in CUBE_STATE_SLICES.items()}
        for name in _FLAGS:
            fields[name] = fields[name][..., 0]
        return cls(**fields)


#: Where in the flat array each field of ``CubeState`` lies.
CUBE_STATE_SLICES = {
    "tcp_position": slice(0, 3),
    "tcp_quaternion": slice(3, 7),
    "finger_positions": slice(7, 9),
    "cube_position": slice(9, 12),
    "cube_quaternion": slice(12, 16),
    "goal_position": slice(16, 19),
    "joint_velocities": slice(19, 28),
    "is_grasped": slice(28, 29),
    "acts_by_delta_pose": slice(29, 30),
}

#: Length of the flat array.
CUBE_STATE_SIZE = 30

_FLAGS = ("is_grasped", "acts_by_delta_pose")

#: Width of the cubes, in metres.
CUBE_WIDTH = 0.04

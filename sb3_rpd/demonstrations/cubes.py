"""Which states of ManiSkill2's cube tasks are worth keeping."""

from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.envs.cube_state import CubeState
from sb3_rpd.envs.sources import privileged_state


@dataclass(frozen=True)
class MoreNearCube:
    """
    The chance that a state is kept, for ``record(keep=...)``: grasping is decided in a few steps, and the way to the cube has
    many that are alike.

    :param near: Where the hand is near the cube.
    :param far: Elsewhere.
    :param distance: Between the center of the cube and the point between the finger tips, in metres: up to it is near.
    """

    near: float = 0.75
    far: float = 0.5
    distance: float = 0.06

    def __call__(self, env: gym.Env[Any, Any]) -> float:
        state = CubeState.unpack(privileged_state(env))
        is_near = np.linalg.norm(state.tcp_position - state.cube_position) < self.distance
        return self.near if is_near else self.far

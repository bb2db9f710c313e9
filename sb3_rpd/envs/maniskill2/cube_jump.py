"""A cube that is elsewhere all of a sudden, so that demonstrations show how to go after it."""

from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.envs.cube_state import CUBE_WIDTH, CubeState
from sb3_rpd.envs.maniskill2.privileged import cube_state

# in metres: a cube whose center is lower lies on the table; a hand that is nearer might be about to grasp it
_ON_TABLE, _HAND_AWAY = 0.03, 0.07
# half the side of the square in which the tasks start it
_AREA = 0.1
# so far from the hand, sideways or above, and from another cube, it appears
_CLEARANCE, _HAND_ABOVE = 0.06, 0.12
# the first steps of an episode in which it may jump
_STEPS = (5, 20)


class CubeJumpWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Put the cube of LiftCube-v0, PickCube-v0 or StackCube-v0 (the red one) elsewhere on the table, once, in some of the
    episodes: in a step early in the episode, or as soon after as it lies on the table with the hand away from it.

    What is decided at random depends on the seed of the last reset that had one.

    :param env: The environment, wrapped or not.
    :param share: In which share of the episodes.
    :raises ValueError: if the share is not between 0 and 1.
    """

    def __init__(self, env: gym.Env[Any, Any], share: float = 0.5) -> None:
        super().__init__(env)
        if not 0 <= share <= 1:
            raise ValueError(f"share={share} is not between 0 and 1.")
        self.share = share
        self._rng = np.random.default_rng()
        self._steps_left: int | None = None

    def __str__(self) -> str:
        return f"<{type(self).__name__}({self.share}){self.env}>"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        self._steps_left = int(self._rng.integers(*_STEPS)) if self._rng.random() < self.share else None
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        if self._steps_left is not None:
            self._steps_left = max(self._steps_left - 1, 0)
            if self._steps_left == 0 and self._jump():
                self._steps_left = None
        return self.env.step(action)

    def _jump(self) -> bool:
        state = CubeState.unpack(cube_state(self.env.unwrapped))
        hand = state.tcp_position
        lies = state.cube_position[2] < _ON_TABLE and not state.is_grasped
        if not lies or np.linalg.norm(hand - state.cube_position) < _HAND_AWAY:
            return False
        bare: Any = self.env.unwrapped
        place, yaw = self._rng.uniform(-_AREA, _AREA, 2), self._rng.uniform(0.0, 2 * np.pi)
        if np.linalg.norm(place - hand[:2]) < _CLEARANCE and hand[2] < _HAND_ABOVE:
            return False
        if hasattr(bare, "cubeB") and np.linalg.norm(place - bare.cubeB.pose.p[:2]) < _CLEARANCE:
            return False
        cube = bare.cubeA if hasattr(bare, "cubeA") else bare.obj
        pose = type(cube.pose)([*place, CUBE_WIDTH / 2], [np.cos(yaw / 2), 0.0, 0.0, np.sin(yaw / 2)])
        cube.set_pose(pose)
        cube.set_velocity(np.zeros(3))
        cube.set_angular_velocity(np.zeros(3))
        return True

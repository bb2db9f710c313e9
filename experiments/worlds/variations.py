"""
Variations of ManiSkill2's LiftCube that its scripted teacher cannot solve, registered by being imported.

The teacher is the one for LiftCube-v0, as it is: it goes for the cube, closes its fingers at a cube of 4 cm and lifts it to
the marker. Each variation is solved by other motions of the same hand.
"""

from typing import Any

import numpy as np

from experiments.worlds.maniskill2 import VARIATIONS
from sb3_rpd.envs.maniskill2.installation import import_maniskill2

register_env: Any = import_maniskill2().register_env

from mani_skill2.envs.pick_and_place.pick_cube import LiftCubeEnv  # noqa: E402 (import_maniskill2 goes before it)
from sapien.core import Pose  # noqa: E402


@register_env("LiftSmallCube-v0", max_episode_steps=200)
class LiftSmallCubeEnv(LiftCubeEnv):
    """The cube is 2.2 cm wide. The teacher takes fingers so near to each other for empty, and opens them."""

    def _load_actors(self) -> None:
        self.cube_half_size = np.array([VARIATIONS["LiftSmallCube-v0"]["cube_half_size"]] * 3, np.float32)
        super()._load_actors()


@register_env("LiftCubeHigher-v0", max_episode_steps=200)
class LiftCubeHigherEnv(LiftCubeEnv):
    """The cube has to go up by 23 cm. The teacher sees the marker where LiftCube has it, at 20 cm, and stops 2 cm above it."""

    goal_height = VARIATIONS["LiftCubeHigher-v0"]["goal_height"]

    def _initialize_task(self) -> None:
        self.goal_pos = self.obj.pose.p + np.array([0, 0, LiftCubeEnv.goal_height])
        self.goal_site.set_pose(Pose(self.goal_pos))


@register_env("LiftCubeBesideBlock-v0", max_episode_steps=200)
class LiftCubeBesideBlockEnv(LiftCubeEnv):
    """
    A fixed block stands so near to the cube that the teacher comes down on it with one finger. With the hand 1.2 cm to the
    other side there is room for the finger between the two.
    """

    gap = VARIATIONS["LiftCubeBesideBlock-v0"]["gap"]
    block_half_size = (0.02, 0.02, 0.03)

    def _load_actors(self) -> None:
        super()._load_actors()
        self.block = self._build_cube(np.array(self.block_half_size, np.float32), color=(0, 0, 1), name="block", static=True)

    def _initialize_actors(self) -> None:
        super()._initialize_actors()
        x, y, z = self.obj.pose.p
        # The cube's faces are parallel to the fingers: turned about, it would leave no room
        self.obj.set_pose(Pose([x, y, z]))
        side = self.cube_half_size[1] + self.gap + self.block_half_size[1]
        self.block.set_pose(Pose([x, y + side, self.block_half_size[2]]))

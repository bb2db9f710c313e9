"""A variation of ManiSkill2's LiftCube that the VLA was not trained on, registered by being imported."""

from typing import Any

import numpy as np

from experiments.worlds.vla import VARIATIONS
from sb3_rpd.envs.maniskill2.installation import import_maniskill2

register_env: Any = import_maniskill2().register_env

from mani_skill2.envs.pick_and_place.pick_cube import LiftCubeEnv  # noqa: E402 (import_maniskill2 goes before it)
from sapien.core import Pose  # noqa: E402

_SETTINGS = VARIATIONS["LiftOtherCube-v0"]
_ORANGE, _BLUE = (1.0, 0.45, 0.0), (0.0, 0.0, 1.0)


@register_env("LiftOtherCube-v0", max_episode_steps=200)
class LiftOtherCubeEnv(LiftCubeEnv):
    """
    The cube is 3 cm wide and orange, not 4 cm and red. A blue one of 4 cm is fixed 10 cm from it on the side of the robot.
    """

    block_half_size = 0.02

    def _load_actors(self) -> None:
        self.cube_half_size = np.array([_SETTINGS["cube_half_size"]] * 3, np.float32)
        self._add_ground(render=self.bg_name is None)
        self.obj = self._build_cube(self.cube_half_size, color=_ORANGE)
        self.goal_site = self._build_sphere_site(self.goal_thresh)
        half_size = np.array([self.block_half_size] * 3, np.float32)
        self.block = self._build_cube(half_size, color=_BLUE, name="block", static=True)

    def _initialize_actors(self) -> None:
        super()._initialize_actors()
        x, y, _ = self.obj.pose.p
        self.block.set_pose(Pose([x - _SETTINGS["distance"], y, self.block_half_size]))

"""A camera that is somewhat elsewhere in each episode, so that who learns to see by it bears a camera that was moved."""

import math
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.envs.cameras import RENDER_CAMERA, CameraView


class CameraMoveWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Move ManiSkill2's "human" camera, the one behind ``render()``, at the start of each episode: to a point that is drawn
    uniformly from a ball around its place. It turns so that what is ``depth`` ahead of its place stays in the middle of its
    frames.

    What is decided at random depends on the seed of the last reset that had one.

    :param env: The environment, wrapped or not.
    :param distance: How far at most, in meters.
    :param depth: How far ahead of the camera, in meters, is what it looks at.
    :raises ValueError: if one of the numbers is out of its range, or the environment has no such camera.
    """

    def __init__(self, env: gym.Env[Any, Any], distance: float, depth: float = 0.7) -> None:
        super().__init__(env)
        if not 0.0 <= distance < math.inf:
            raise ValueError(f"distance={distance} is no distance: it must be finite and >= 0, in meters.")
        if not 0.0 < depth < math.inf:
            raise ValueError(f"depth={depth} must be finite and > 0, in meters.")
        if RENDER_CAMERA not in getattr(env.unwrapped, "_render_cameras", {}):
            raise ValueError(f"{env} has no camera of ManiSkill2 behind render(), which CameraMoveWrapper could move.")
        self.distance = distance
        pose = self._camera.get_pose()
        self._home = np.array(pose.p, np.float64)
        self._target = self._home + depth * pose.to_transformation_matrix()[:3, 0].astype(np.float64)
        self._rng = np.random.default_rng()

    def __str__(self) -> str:
        return f"<{type(self).__name__}({self.distance}){self.env}>"

    @property
    def _camera(self) -> Any:
        bare: Any = self.env.unwrapped
        return bare._render_cameras[RENDER_CAMERA].camera

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self._rng = np.random.default_rng(seed)
        way = self._rng.normal(size=3)
        place = self._home + self.distance * np.cbrt(self._rng.random()) * way / np.linalg.norm(way)
        view = CameraView(position=tuple(place.tolist()), target=tuple(self._target.tolist()))
        assert view.pose is not None
        # Before the reset, whose observation may be an image
        self._camera.set_local_pose(type(self._camera.get_pose())(*view.pose))
        return self.env.reset(seed=seed, options=options)

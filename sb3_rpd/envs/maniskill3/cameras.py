"""The cameras in ManiSkill3's terms, and their images."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch as th

from sb3_rpd.envs.cameras import HUMAN_CAMERA, CameraOptions, CameraView, size_settings

#: Its options for cameras.
CAMERA_OPTIONS = CameraOptions("make_maniskill3_env", "sensor_configs", "human_render_camera_configs", pose=("pose",))


def camera_configs(
    view: CameraView, image_size: tuple[int, int], frame_size: tuple[int, int], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """
    Say in ManiSkill3's terms what the cameras are to be.

    :param view: The camera of the observation.
    :param image_size: Height and width of its images, where it is not the "human" camera.
    :param frame_size: Height and width of the frames of the "human" camera.
    :param options: Further options of the environment; ``sensor_configs`` and ``human_render_camera_configs`` in it are
        respected.
    :return: The options ``sensor_configs`` and ``human_render_camera_configs``.
    """
    # ManiSkill3 changes the dicts that it gets, and ours are shared by several environments
    configs = {key: deepcopy(dict(options.get(key) or {})) for key in CAMERA_OPTIONS.names}
    configs[CAMERA_OPTIONS.frames].update(size_settings(frame_size))
    if view.name == HUMAN_CAMERA:
        configs[CAMERA_OPTIONS.frames].update(_view_settings(view))
    else:
        configs[CAMERA_OPTIONS.sensors].setdefault(view.name, {}).update(size_settings(image_size), **_view_settings(view))
    return configs


def _view_settings(view: CameraView) -> dict[str, Any]:
    settings: dict[str, Any] = {} if view.fov is None else {"fov": view.fov}
    if view.pose is not None:
        import sapien

        settings["pose"] = sapien.Pose(*view.pose)
    return settings


def human_images(simulator: Any) -> th.Tensor:
    """
    Render through the "human" camera, which shows the markers of goals, too.

    :param simulator: ManiSkill3's own environment.
    :return: uint8, shape (n_envs, height, width, 3).
    """
    images: th.Tensor = simulator.render_rgb_array(next(iter(simulator.scene.human_render_cameras)))
    return images


def sensor_images(simulator: Any, name: str) -> th.Tensor:
    """
    Render through one of the task's cameras, as ManiSkill3 does it for observations, and through no other.

    :param simulator: ManiSkill3's own environment.
    :param name: The camera.
    :return: uint8, shape (n_envs, height, width, 3).
    """
    for marker in simulator._hidden_objects:
        marker.hide_visual()
    simulator.scene.update_render(update_sensors=True, update_human_render_cameras=False)
    camera = simulator.scene.sensors[name]
    camera.capture()
    images: th.Tensor = camera.get_obs(rgb=True, depth=False, position=False, segmentation=False)["rgb"]
    return images

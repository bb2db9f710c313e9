"""The cameras in ManiSkill2's terms."""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from sb3_rpd.envs.cameras import HUMAN_CAMERA, CameraOptions, CameraView, size_settings

#: Its options for cameras.
CAMERA_OPTIONS = CameraOptions(
    "make_maniskill2_env", "camera_cfgs", "render_camera_cfgs", pose=("p", "q", "pose"), taken={"texture_names": "obs"}
)


def view_settings(view: CameraView) -> dict[str, Any]:
    """
    :param view: A camera.
    :return: What differs from ManiSkill2's own setting, in the form of its ``camera_cfgs``.
    """
    settings: dict[str, Any] = {} if view.fov is None else {"fov": view.fov}
    if view.pose is not None:
        settings["p"], settings["q"] = view.pose
    return settings


def camera_configs(
    view: CameraView, image_size: tuple[int, int], frame_size: tuple[int, int], options: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """
    Say in ManiSkill2's terms what the cameras are to be.

    :param view: The camera of the observation.
    :param image_size: Height and width of its images, where it is not the "human" camera.
    :param frame_size: Height and width of the frames of the "human" camera.
    :param options: Further options of the environment; ``camera_cfgs`` and ``render_camera_cfgs`` in it are respected.
    :return: The options ``camera_cfgs`` and ``render_camera_cfgs``.
    """
    # ManiSkill2 changes the dicts that it gets, and ours are shared by several environments
    configs = {key: deepcopy(dict(options.get(key) or {})) for key in CAMERA_OPTIONS.names}
    # frames need colors only; the position map, which ManiSkill2 would fetch along with them, costs as much again
    configs[CAMERA_OPTIONS.frames].update(size_settings(frame_size), texture_names=("Color",))
    if view.name == HUMAN_CAMERA:
        configs[CAMERA_OPTIONS.frames].update(view_settings(view))
    else:
        configs[CAMERA_OPTIONS.sensors].setdefault(view.name, {}).update(size_settings(image_size), **view_settings(view))
    return configs

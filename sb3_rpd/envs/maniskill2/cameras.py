"""Which camera an image comes from, and from where it looks."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

#: The name of the camera behind ManiSkill2's ``render()``, the paper's: it looks at the robot from the front and alone shows
#: the goal marker.
HUMAN_CAMERA = "human"

# ManiSkill2's name for it, and its two options for cameras
_RENDER_CAMERA = "render_camera"
_CAMERA_OPTIONS = ("camera_cfgs", "render_camera_cfgs")


@dataclass(frozen=True)
class CameraView:
    """
    A camera of ManiSkill2, moved or not.

    :param name: "human" for the camera behind ``render()``, otherwise one of the task's cameras: "base_camera" (fixed)
        and "hand_camera" (on the robot's hand) in the tabletop tasks.
    :param position: Where it is, in metres in the world frame (of "hand_camera": in the frame of the hand); None for
        where ManiSkill2 has it.
    :param target: The point that it looks at, in the same frame; given if and only if ``position`` is.
    :param fov: Vertical field of view in radians; None for ManiSkill2's.
    """

    name: str = HUMAN_CAMERA
    position: tuple[float, float, float] | None = None
    target: tuple[float, float, float] | None = None
    fov: float | None = None

    def __post_init__(self) -> None:
        if (self.position is None) != (self.target is None):
            raise ValueError("a camera is moved by position and target together; one of them is missing")

    def settings(self) -> dict[str, Any]:
        """
        :return: What differs from ManiSkill2's own setting, in the form of its ``camera_cfgs``.
        """
        settings: dict[str, Any] = {} if self.fov is None else {"fov": self.fov}
        if self.position is not None:
            from mani_skill2.utils.sapien_utils import look_at

            pose = look_at(self.position, self.target)
            settings.update(p=pose.p, q=pose.q)
        return settings


def check_camera_options(view: CameraView, options: Mapping[str, Any]) -> None:
    """
    :param view: The camera of the observation.
    :param options: Further options of the environment, of which ``camera_cfgs`` and ``render_camera_cfgs`` matter.
    :raises ValueError: if these say what an argument of ``make_maniskill2_env`` says already.
    """
    taken = {"width": "image_size", "height": "image_size", "texture_names": "obs"}
    of_view = dict.fromkeys(("fov",) if view.fov is not None else (), "camera")
    of_view.update(dict.fromkeys(("p", "q", "pose") if view.position is not None else (), "camera"))
    for key in _CAMERA_OPTIONS:
        shows_view = (key == "render_camera_cfgs") == (view.name == HUMAN_CAMERA)
        for camera, name in _settings_in(options.get(key) or {}):
            argument = taken.get(name)
            if shows_view and camera in (None, view.name, _RENDER_CAMERA):
                argument = argument or of_view.get(name)
            if argument is not None:
                raise ValueError(f"{key} sets {name!r}, which {argument}= of make_maniskill2_env sets here: give that alone")


def _settings_in(configs: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Each setting in a dict of ManiSkill2's: the camera that it is for, None for all of them, and its name."""
    for name, value in configs.items():
        if isinstance(value, Mapping):
            yield from ((name, inner) for inner in value)
        else:
            yield None, name


def height_and_width(size: int | tuple[int, int]) -> tuple[int, int]:
    """
    :param size: Side in pixels, or height and width.
    :return: Height and width.
    """
    return (size, size) if isinstance(size, int) else size


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
    configs = {key: deepcopy(dict(options.get(key) or {})) for key in _CAMERA_OPTIONS}
    # frames need colors only; the position map, which ManiSkill2 would fetch along with them, costs as much again
    configs["render_camera_cfgs"].update(_size(frame_size), texture_names=("Color",))
    if view.name == HUMAN_CAMERA:
        configs["render_camera_cfgs"].update(view.settings())
    else:
        configs["camera_cfgs"].setdefault(view.name, {}).update(_size(image_size), **view.settings())
    return configs


def _size(size: tuple[int, int]) -> dict[str, int]:
    return {"height": size[0], "width": size[1]}

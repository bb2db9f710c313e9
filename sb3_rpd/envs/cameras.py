"""Which camera an image comes from, and from where it looks: the same for ManiSkill2 and ManiSkill3."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

#: The name of the camera behind a simulator's ``render()``, the paper's: it looks at the robot from the front and alone shows
#: the goal marker.
HUMAN_CAMERA = "human"

#: The simulators' name for it.
RENDER_CAMERA = "render_camera"


@dataclass(frozen=True)
class CameraView:
    """
    A camera of ManiSkill2 or ManiSkill3, moved or not.

    :param name: "human" for the camera behind ``render()``, otherwise one of the task's cameras: "base_camera" (fixed)
        and "hand_camera" (on the robot's hand, if it has one) in the tabletop tasks.
    :param position: Where it is, in metres in the world frame (of "hand_camera": in the frame of the hand); None for
        where the simulator has it.
    :param target: The point that it looks at, in the same frame; given if and only if ``position`` is.
    :param fov: Vertical field of view in radians; None for the simulator's.
    """

    name: str = HUMAN_CAMERA
    position: tuple[float, float, float] | None = None
    target: tuple[float, float, float] | None = None
    fov: float | None = None

    def __post_init__(self) -> None:
        if (self.position is None) != (self.target is None):
            raise ValueError("a camera is moved by position and target together; one of them is missing")

    @property
    def pose(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Position and quaternion (w, x, y, z) of a moved camera, which looks along its x axis and has no roll."""
        if self.position is None or self.target is None:
            return None
        return np.array(self.position, dtype=np.float64), _facing(np.subtract(self.target, self.position))


def _facing(direction: np.ndarray) -> np.ndarray:
    """The quaternion of a turn about z and then of one about y, which bring the x axis into this direction."""
    x, y, z = direction
    yaw, pitch = np.arctan2(y, x) / 2, -np.arctan2(z, np.hypot(x, y)) / 2
    return np.array(
        [np.cos(yaw) * np.cos(pitch), -np.sin(yaw) * np.sin(pitch), np.cos(yaw) * np.sin(pitch), np.sin(yaw) * np.cos(pitch)]
    )


@dataclass(frozen=True)
class CameraOptions:
    """
    How a simulator names its options for cameras.

    :param function: The function of this package that makes its environments.
    :param sensors: The option for the task's cameras.
    :param frames: The option for the camera behind ``render()``.
    :param pose: Settings that say where a camera is.
    :param taken: Further settings that an argument of the function sets, by that argument.
    """

    function: str
    sensors: str
    frames: str
    pose: tuple[str, ...]
    taken: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, str]:
        """Both options."""
        return self.sensors, self.frames

    def check(self, view: CameraView, options: Mapping[str, Any]) -> None:
        """
        :param view: The camera of the observation.
        :param options: Further options of the environment, of which those for cameras matter.
        :raises ValueError: if these say what an argument of the function says already.
        """
        taken = {"width": "image_size", "height": "image_size", **self.taken}
        of_view = dict.fromkeys(("fov",) if view.fov is not None else (), "camera")
        of_view.update(dict.fromkeys(self.pose if view.position is not None else (), "camera"))
        for key in self.names:
            shows_view = (key == self.frames) == (view.name == HUMAN_CAMERA)
            for camera, name in _settings_in(options.get(key) or {}):
                argument = taken.get(name)
                if shows_view and camera in (None, view.name, RENDER_CAMERA):
                    argument = argument or of_view.get(name)
                if argument is not None:
                    raise ValueError(f"{key} sets {name!r}, which {argument}= of {self.function} sets here: give that alone")


def _settings_in(configs: Mapping[str, Any]) -> Iterator[tuple[str | None, str]]:
    """Each setting in a dict of a simulator's: the camera that it is for, None for all of them, and its name."""
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


def size_settings(size: tuple[int, int]) -> dict[str, int]:
    """:return: Height and width as the simulators' settings."""
    return {"height": size[0], "width": size[1]}

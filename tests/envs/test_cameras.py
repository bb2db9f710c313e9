"""Camera poses, and what options may say of cameras (sb3_rpd/envs/cameras.py)."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.envs.cameras import CameraView
from sb3_rpd.envs.maniskill2.cameras import CAMERA_OPTIONS

HALF = np.sqrt(0.5)
PLACES = st.tuples(*[st.floats(-2, 2)] * 3)


@pytest.mark.parametrize(
    ("target", "quaternion"),
    [
        ((2.0, 2.0, 3.0), (1.0, 0.0, 0.0, 0.0)),  # along x: sapien's own viewing direction, no turn
        ((1.0, 5.0, 3.0), (HALF, 0.0, 0.0, HALF)),  # along y: a quarter turn about z
        ((1.0, 2.0, 1.0), (HALF, 0.0, HALF, 0.0)),  # down: a quarter turn about y
    ],
)
def test_pose_by_hand(target: tuple[float, float, float], quaternion: tuple[float, ...]) -> None:
    pose = CameraView("human", position=(1.0, 2.0, 3.0), target=target).pose
    assert pose is not None
    np.testing.assert_allclose(pose[0], (1.0, 2.0, 3.0))
    np.testing.assert_allclose(pose[1], quaternion, atol=1e-7)
    assert CameraView().pose is None


@given(position=PLACES, target=PLACES)
def test_a_camera_looks_at_its_target_and_stands_upright(position: tuple[float, ...], target: tuple[float, ...]) -> None:
    way = np.subtract(target, position)
    pose = CameraView(position=position, target=target).pose  # type: ignore[arg-type]
    assert pose is not None
    w, x, y, z = pose[1]
    forward = np.array([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)])
    up = 1 - 2 * (x * x + y * y)  # the z component of its z axis
    left = 2 * (y * z + w * x)  # the z component of its y axis
    distance = np.linalg.norm(way)
    if distance > 1e-3:
        np.testing.assert_allclose(forward, way / distance, atol=1e-6)
    assert abs(left) < 1e-12
    assert up > -1e-12


def test_half_a_pose_is_refused() -> None:
    with pytest.raises(ValueError, match="position and target together"):
        CameraView(position=(0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="position and target together"):
        CameraView(target=(0.0, 0.0, 1.0))


AT = CameraView(position=(1.0, 0.0, 1.0), target=(0.0, 0.0, 0.0))


@pytest.mark.parametrize(
    ("view", "options", "message"),
    [
        (CameraView(), {"render_camera_cfgs": {"height": 64}}, "render_camera_cfgs sets 'height', which image_size="),
        (CameraView(), {"render_camera_cfgs": {"render_camera": {"width": 64}}}, "'width', which image_size="),
        (CameraView(), {"camera_cfgs": {"width": 64}}, "camera_cfgs sets 'width', which image_size="),
        (CameraView(), {"camera_cfgs": {"hand_camera": {"width": 64}}}, "camera_cfgs sets 'width'"),
        (CameraView(), {"render_camera_cfgs": {"texture_names": ("Position",)}}, "'texture_names', which obs="),
        (CameraView(fov=1.0), {"render_camera_cfgs": {"fov": 2.0}}, "render_camera_cfgs sets 'fov', which camera="),
        (AT, {"render_camera_cfgs": {"render_camera": {"p": (0, 0, 1)}}}, "render_camera_cfgs sets 'p', which camera="),
        (CameraView("hand_camera", fov=1.0), {"camera_cfgs": {"hand_camera": {"fov": 2.0}}}, "'fov', which camera="),
    ],
)
def test_what_another_argument_says_already_is_refused(view: CameraView, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CAMERA_OPTIONS.check(view, options)


@pytest.mark.parametrize(
    ("view", "options"),
    [
        (CameraView(), {"render_camera_cfgs": {"fov": 2.0, "p": (0, 0, 1)}, "camera_cfgs": None}),
        (CameraView(fov=1.0), {"camera_cfgs": {"hand_camera": {"fov": 2.0}}}),
        (AT, {"render_camera_cfgs": {"fov": 2.0}}),
        (CameraView("hand_camera", fov=1.0), {"camera_cfgs": {"base_camera": {"fov": 2.0, "near": 0.1}}}),
        (CameraView("hand_camera", fov=1.0), {"render_camera_cfgs": {"fov": 2.0}}),
    ],
)
def test_what_no_argument_says_is_let_through(view: CameraView, options: dict[str, Any]) -> None:
    CAMERA_OPTIONS.check(view, options)

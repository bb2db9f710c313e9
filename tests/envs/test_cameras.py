"""Camera poses and the settings that ManiSkill2 gets (sb3_rpd/envs/maniskill2/cameras.py)."""

from typing import Any

import numpy as np
import pytest

from sb3_rpd.envs.maniskill2.cameras import CameraView, camera_configs, check_camera_options

HALF = np.sqrt(0.5)


@pytest.mark.maniskill2
@pytest.mark.parametrize(
    ("target", "quaternion"),
    [
        ((2.0, 2.0, 3.0), (1.0, 0.0, 0.0, 0.0)),  # along x: sapien's own viewing direction, no turn
        ((1.0, 5.0, 3.0), (HALF, 0.0, 0.0, HALF)),  # along y: a quarter turn about z
    ],
)
def test_settings(target: tuple[float, float, float], quaternion: tuple[float, ...]) -> None:
    settings = CameraView("human", position=(1.0, 2.0, 3.0), target=target, fov=0.5).settings()
    assert set(settings) == {"p", "q", "fov"}
    np.testing.assert_allclose(settings["p"], (1.0, 2.0, 3.0))
    np.testing.assert_allclose(settings["q"], quaternion, atol=1e-7)
    assert settings["fov"] == 0.5
    assert CameraView().settings() == {}


def test_half_a_pose_is_refused() -> None:
    with pytest.raises(ValueError, match="position and target together"):
        CameraView(position=(0.0, 0.0, 1.0))
    with pytest.raises(ValueError, match="position and target together"):
        CameraView(target=(0.0, 0.0, 1.0))


def test_configs_keep_the_callers_options_and_leave_them_alone() -> None:
    options = {"camera_cfgs": {"hand_camera": {"near": 0.02}}, "render_camera_cfgs": {"far": 5}, "robot": "panda"}
    configs = camera_configs(CameraView("hand_camera", fov=1.5), (64, 96), (32, 48), options)
    assert configs == {
        "camera_cfgs": {"hand_camera": {"near": 0.02, "height": 64, "width": 96, "fov": 1.5}},
        "render_camera_cfgs": {"far": 5, "height": 32, "width": 48, "texture_names": ("Color",)},
    }
    assert options == {"camera_cfgs": {"hand_camera": {"near": 0.02}}, "render_camera_cfgs": {"far": 5}, "robot": "panda"}


def test_human_camera_is_maniskill2s_render_camera() -> None:
    configs = camera_configs(CameraView(fov=1.2), (64, 64), (128, 128), {})
    assert configs == {
        "camera_cfgs": {},
        "render_camera_cfgs": {"height": 128, "width": 128, "texture_names": ("Color",), "fov": 1.2},
    }


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
        check_camera_options(view, options)


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
    check_camera_options(view, options)

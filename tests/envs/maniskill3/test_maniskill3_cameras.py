"""The settings for cameras that ManiSkill3 gets (sb3_rpd/envs/maniskill3/cameras.py)."""

import pytest

from sb3_rpd.envs.cameras import CameraView
from sb3_rpd.envs.maniskill3.cameras import CAMERA_OPTIONS, camera_configs


def test_configs_keep_the_callers_options_and_leave_them_alone() -> None:
    options = {"sensor_configs": {"hand_camera": {"near": 0.02}}, "human_render_camera_configs": {"far": 5}}
    configs = camera_configs(CameraView("hand_camera", fov=1.5), (64, 96), (32, 48), options)
    assert configs == {
        "sensor_configs": {"hand_camera": {"near": 0.02, "height": 64, "width": 96, "fov": 1.5}},
        "human_render_camera_configs": {"far": 5, "height": 32, "width": 48},
    }
    assert options["sensor_configs"] == {"hand_camera": {"near": 0.02}}
    assert options["human_render_camera_configs"] == {"far": 5}


def test_human_camera_is_maniskill3s_render_camera() -> None:
    configs = camera_configs(CameraView(fov=1.2), (64, 64), (128, 128), {})
    assert configs == {"sensor_configs": {}, "human_render_camera_configs": {"height": 128, "width": 128, "fov": 1.2}}


def test_what_another_argument_says_already_is_refused() -> None:
    moved = CameraView(position=(1.0, 0.0, 1.0), target=(0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="human_render_camera_configs sets 'pose', which camera= of make_maniskill3_env"):
        CAMERA_OPTIONS.check(moved, {"human_render_camera_configs": {"render_camera": {"pose": None}}})
    CAMERA_OPTIONS.check(moved, {"sensor_configs": {"base_camera": {"pose": None}}})

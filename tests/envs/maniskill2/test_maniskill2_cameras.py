"""The settings for cameras that ManiSkill2 gets (sb3_rpd/envs/maniskill2/cameras.py)."""

import numpy as np
import pytest

from sb3_rpd.envs.cameras import CameraView
from sb3_rpd.envs.maniskill2.cameras import camera_configs, view_settings


@pytest.mark.maniskill2
def test_a_moved_camera_is_where_maniskill2_would_have_it() -> None:
    from mani_skill2.utils.sapien_utils import look_at

    eye, target = (0.5, -0.4, 0.7), (-0.1, 0.1, 0.2)
    settings = view_settings(CameraView("human", position=eye, target=target, fov=0.5))
    theirs = look_at(eye, target)
    assert set(settings) == {"p", "q", "fov"}
    np.testing.assert_allclose(settings["p"], theirs.p, atol=1e-6)
    np.testing.assert_allclose(settings["q"], theirs.q, atol=1e-6)
    assert settings["fov"] == 0.5
    assert view_settings(CameraView()) == {}


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

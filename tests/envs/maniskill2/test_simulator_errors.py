"""What a user reads in place of ManiSkill2's own errors (sb3_rpd/envs/maniskill2/simulator_errors.py)."""

from pathlib import Path
from typing import Any

import pytest

from sb3_rpd.envs import make_maniskill2_env

pytestmark = pytest.mark.maniskill2


@pytest.mark.parametrize(
    "task",
    [
        "TurnFaucet-v0",
        "AssemblingKits-v0",
        "PickSingleYCB-v0",
        pytest.param("Pinch-v0", marks=pytest.mark.rendering),
        pytest.param("Write-v0", marks=pytest.mark.rendering),
    ],
)
def test_missing_assets_name_the_download(task: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"python -m mani_skill2.utils.download_asset {task}"):
        make_maniskill2_env(task)


def test_missing_robot_names_the_download() -> None:
    with pytest.raises(FileNotFoundError, match=r"robot='xmate3_robotiq' needs.*download_asset xmate3_robotiq`"):
        make_maniskill2_env("PickCube-v0", robot="xmate3_robotiq")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_steps": 9}, r"neither make_maniskill2_env nor ManiSkill2's PickCube-v0 has an option 'max_steps'.*sim_freq"),
        ({"control_mode": "pd_pose"}, "PickCube-v0 has no control_mode='pd_pose'; it has .*'pd_ee_delta_pose'"),
        ({"robot": "panda2"}, "PickCube-v0 has no robot='panda2'; .* have 'panda'"),
    ],
)
def test_unknown_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_maniskill2_env("PickCube-v0", **options)


@pytest.mark.rendering
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"camera": "side_camera"}, "side_camera"),
        ({"camera_cfgs": {"base_camera": {"fovy": 1.0}}}, "fovy"),
    ],
)
def test_unknown_cameras_and_settings_of_cameras_are_named(options: dict[str, Any], name: str) -> None:
    message = rf'no camera, .*no setting, of that name \({name} .*"human".*"base_camera" and, .*"hand_camera"'
    with pytest.raises(ValueError, match=message):
        make_maniskill2_env("PickCube-v0", "rgb", image_size=16, **options)


def test_other_errors_are_maniskill2s() -> None:
    with pytest.raises(TypeError, match=r"^not all arguments converted"):
        make_maniskill2_env("PickCube-v0", sim_freq="fast")


@pytest.mark.rendering
def test_another_missing_file_is_no_missing_asset(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"^{tmp_path}/shaders$"):
        make_maniskill2_env("PickCube-v0", "rgb", image_size=16, shader_dir=str(tmp_path / "shaders"))

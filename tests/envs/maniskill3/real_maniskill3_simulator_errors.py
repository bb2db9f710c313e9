"""
What a user reads in place of ManiSkill3's own errors (sb3_rpd/envs/maniskill3/simulator_errors.py), with the real simulator:
`make test-maniskill3`.
"""

from typing import Any

import pytest
from mani_skill.utils import download_asset

from sb3_rpd.envs import make_maniskill3_env

NO_CAMERA = 'no camera, .*no setting, of that name \\({} .*"human".*"base_camera"'


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("PickCube-v9", {}, r"no task \"PickCube-v9\". The paper's: PickCube-v1, .*; others: .*TurnFaucet-v1"),
        ("PlugCharger-v1", {}, 'PlugCharger-v1 has no reward="dense".*take reward="sparse"'),
        ("PickCube-v1", {"camera": "roof_camera"}, NO_CAMERA.format("roof_camera")),
        ("PickCube-v1", {"sensor_configs": {"base_camera": {"fovy": 1.0}}}, NO_CAMERA.format("fovy")),
        (
            "PickCube-v1",
            {"max_steps": 9},
            "neither make_maniskill3_env nor ManiSkill3's PickCube-v1 has .* 'max_steps'",
        ),
        ("PickCube-v1", {"control_mode": "pd_pose"}, "PickCube-v1 has no control_mode='pd_pose'; it has .*'pd_ee_delta_pose'"),
        ("PickCube-v1", {"robot_uids": "panda2"}, "no robot_uids='panda2'; most tasks have 'panda'"),
    ],
)
def test_what_is_unknown_is_named(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_maniskill3_env(task, **options)


@pytest.mark.parametrize(
    ("task", "options", "asset"),
    [
        ("TurnFaucet-v1", {"reward": "sparse"}, "TurnFaucet-v1"),
        ("PickCube-v1", {"robot_uids": "xarm6_robotiq"}, "xarm6_robotiq"),
    ],
)
def test_missing_assets_name_the_download(task: str, options: dict[str, Any], asset: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"^{asset} needs.*python -m mani_skill.utils.download_asset {asset}`"):
        make_maniskill3_env(task, **options)


def test_other_errors_are_maniskill3s_and_its_questions_are_asked_again_afterwards() -> None:
    ask = download_asset.prompt_yes_no
    with pytest.raises(RuntimeError, match=r'^failed to find device "nowhere"$'):
        make_maniskill3_env("PickCube-v1", render_backend="nowhere")
    with pytest.raises(TypeError, match=r"^unsupported operand"):
        make_maniskill3_env("PickCube-v1", reconfiguration_freq="never")
    assert download_asset.prompt_yes_no is ask

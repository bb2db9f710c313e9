"""``sb3-rpd record``."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_painted_env import PaintedEnv

from sb3_rpd.cli import main
from sb3_rpd.cli.progress import Progress
from sb3_rpd.demonstrations import Demonstrations, read_demonstrations
from sb3_rpd.envs import make_maniskill2_env


def run(*arguments: str) -> int:
    return main(["record", *arguments])


def recorded(folder: Path) -> dict:
    (recording,) = json.loads((folder / "meta/recordings.json").read_text())
    return recording


def record_without_and_with(option: str, command: str, folder: Path) -> tuple[Demonstrations, Demonstrations]:
    """The same seed, and so the same scenes and labels: an option that is about pictures changes nothing else."""
    for name, more in (("without", ""), ("with", option)):
        assert run("--task", "LiftCube-v0", *command.split(), *more.split(), "--to", str(folder / name)) == 0
    without, with_it = (read_demonstrations(folder / name) for name in ("without", "with"))
    np.testing.assert_array_equal(with_it.states, without.states)
    np.testing.assert_array_equal(with_it.actions, without.actions)
    return without, with_it


def test_a_teacher_acts_in_an_environment(tmp_path, capsys):
    demos = tmp_path / "demos"
    command = ["--env", "toy_painted_env:PaintedEnv", "--teacher", "toy_painted_env:make_teacher", "--to", str(demos)]
    assert run(*command, "--episodes", "3", "--noise", "0,0.5", "--instruction", "middle") == 0
    captured = capsys.readouterr()
    frames = read_demonstrations(demos)
    assert captured.out == f"{demos}: 3 episodes, {len(frames)} frames, 3 successes\n"
    assert captured.err.splitlines()[-1] == f"3 of 3 episodes, {len(frames)} frames, 3 successes"
    assert set(frames.instructions) == {"middle"}
    assert recorded(demos)["noise"]["levels"] == [0.0, 0.5]
    np.testing.assert_allclose(frames.actions[:, :2], np.clip(-2.5 * frames.states, -1, 1), atol=1e-6)


def test_a_student_acts_with_its_statistics(tmp_path):
    env = VecNormalize(DummyVecEnv([PaintedEnv]))
    student = PPO("MlpPolicy", env, n_steps=64, seed=0)
    student.learn(64)
    student.save(tmp_path / "student")
    env.save(str(tmp_path / "statistics.pkl"))
    command = ["--env", "toy_painted_env:PaintedEnv", "--student", str(tmp_path / "student.zip"), "--episodes", "2"]
    assert run(*command, "--vec-normalize", str(tmp_path / "statistics.pkl"), "--to", str(tmp_path / "demos")) == 0
    frames = read_demonstrations(tmp_path / "demos")
    normalized = env.normalize_obs(frames.states)
    expected = student.predict(normalized, deterministic=True)[0]
    np.testing.assert_allclose(frames.actions, expected, atol=1e-6)


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_scripted_controller_acts_in_a_task(tmp_path):
    demos = tmp_path / "demos"
    command = (
        "--task LiftCube-v0 --episodes 2 --noise 0.3 --gripper-flips --keep 0.2,0.8 --move-cube 1 --size 32 --max-steps 40"
    )
    assert run(*command.split(), "--camera", "base_camera", "--to", str(demos)) == 0
    frames = read_demonstrations(demos)
    assert frames.cameras == ("base_camera",)
    assert frames[0].images["base_camera"].shape == (32, 32, 3)
    assert set(frames.instructions) == {"lift up the cube"}
    assert (frames.actions.shape[1], frames.states.shape[1]) == (7, 25)
    settings = recorded(demos)
    assert settings["keep"] == "MoreNearCube(near=0.8, far=0.2, distance=0.06)"
    assert settings["noise"]["gripper_flips"] > 0
    assert "CubeJumpWrapper(1.0)" in settings["env"]


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_camera_moves_and_nothing_else(tmp_path):
    still, moved = record_without_and_with("--move-camera 0.1", "--episodes 2 --size 32 --max-steps 1", tmp_path)
    assert "CameraMoveWrapper(0.1)" in recorded(tmp_path / "with")["env"]
    for episode in range(2):
        assert (moved.image(episode) != still.image(episode)).any()


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_robot_has_fewer_triangles_and_nothing_else_changes(tmp_path):
    whole, reduced = record_without_and_with("--mesh-reduction 0.9", "--episodes 1 --size 64 --max-steps 3", tmp_path)
    assert recorded(tmp_path / "with")["notes"]["mesh_reduction"] == "0.9"
    assert 0 < (reduced.image(0) != whole.image(0)).any(axis=-1).mean() < 0.02


@pytest.mark.maniskill2
@pytest.mark.rendering
@pytest.mark.parametrize("obs", ["state", "rgb"])
def test_a_student_acts_in_a_task_as_it_was_trained(obs, tmp_path):
    env = make_maniskill2_env("LiftCube-v0", obs, image_size=48)
    PPO("MlpPolicy" if obs == "state" else "CnnPolicy", env, n_steps=8, batch_size=8, seed=0).save(tmp_path / "student")
    command = ["--task", "LiftCube-v0", "--student", str(tmp_path / "student.zip"), "--max-steps", "3", "--episodes", "1"]
    assert run(*command, "--to", str(tmp_path / "demos")) == 0
    frames = read_demonstrations(tmp_path / "demos")
    assert len(frames) == 3
    side = 224 if obs == "state" else 48
    assert frames.image(0).shape == (side, side, 3)
    if obs == "rgb":
        student = PPO.load(tmp_path / "student")
        expected = student.predict(np.stack([frames.image(index) for index in range(3)]), deterministic=True)[0]
        np.testing.assert_allclose(frames.actions, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--to", "demos"], "--task --env"),
        (["--task", "LiftCube-v0"], "--to"),
        (["--task", "PegInsertionSide-v0", "--to", "demos"], "has no scripted controller: name a --teacher or a --student"),
        (["--task", "LiftCube-v0", "--to", "demos", "--vec-normalize", "x.pkl"], "--vec-normalize is a student's"),
        (
            ["--task", "LiftCube-v0", "--to", "demos", "--camera", "base_camera", "--move-camera", "0.1"],
            "--move-camera moves the human camera, and --camera is base_camera",
        ),
        (["--env", "os:getcwd", "--to", "demos"], "one gymnasium environment is needed"),
        (["--env", "toy_painted_env:PaintedEnv", "--to", "demos", "--size", "64"], "--size goes with --task"),
        (["--env", "toy_painted_env:PaintedEnv", "--to", "demos", "--keep", "1,1,1"], "--keep takes one share, or two"),
        (["--env", "toy_painted_env:PaintedEnv", "--to", "demos", "--noise", "much"], "--noise"),
    ],
)
def test_wrong_command_lines_are_refused(arguments, complaint, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        run(*arguments)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err
    assert not os.listdir(tmp_path)


def test_what_does_not_fit_is_one_sentence(tmp_path, capsys):
    command = ["--env", "toy_painted_env:PaintedEnv", "--teacher", "toy_painted_env:make_teacher", "--to", str(tmp_path)]
    assert run(*command, "--episodes", "1") == 0
    assert run(*command, "--episodes", "1", "--format", "lerobot-video") == 1
    (last,) = capsys.readouterr().err.splitlines()[-1:]
    assert last.startswith(f"sb3-rpd: {tmp_path} stores what cameras see as images")


def test_ctrl_c_is_one_sentence(tmp_path, capsys, monkeypatch):
    def interrupt(env: PaintedEnv, action: np.ndarray) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PaintedEnv, "step", interrupt)
    command = ["--env", "toy_painted_env:PaintedEnv", "--teacher", "toy_painted_env:make_teacher", "--to", str(tmp_path)]
    assert run(*command) == 130
    assert capsys.readouterr().err.splitlines()[-1] == f"{tmp_path}: stopped; the same command goes on"


def test_progress_says_how_long_the_rest_takes(capsys, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("sb3_rpd.cli.progress.time.monotonic", lambda: now[0])
    progress = Progress(20, "episodes", done=10)
    for done, seconds in ((10, 100), (11, 105), (12, 140), (20, 150)):
        now[0] = seconds
        progress.show(done, f"{done} frames")
    # nothing is known at first, then a line each half minute: 2 of the last 10 in 40 seconds
    assert capsys.readouterr().err.splitlines() == [
        "10 of 20 episodes, 10 frames",
        "12 of 20 episodes, 12 frames, 3 min left",
        "20 of 20 episodes, 20 frames",
    ]

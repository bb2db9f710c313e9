"""sb3-rpd train, eval and export on one training: what they print, what they leave, and one sentence for each mistake."""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_rpd.cli import main
from sb3_rpd.evaluation import evaluate_teacher
from sb3_rpd.training.students import find_student


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    printed = capsys.readouterr()
    return status, printed.out, printed.err


def test_from_settings_to_an_onnx_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, progress = run(capsys, "train", "--settings", "settings.yaml", "--timesteps", "256", "--to", "run")
    assert status == 0
    assert re.search(r"^The best student, after \d+ steps, is run/student\.zip: success \d of 8, return ", out)
    assert re.search(r"^256 of 256 steps, \d+ s, success \d+%, return \d", progress, flags=re.MULTILINE)
    assert len(re.findall(r"^  evaluated after (?:128|256) steps: success", progress, flags=re.MULTILINE)) == 2

    status, out, _ = run(capsys, "eval", "--student", "run", "--episodes", "10", "--frames", "strip.png")
    assert status == 0
    student = find_student(Path("run"))
    env = make_vec_env(sys.modules["cli_parts"].pole, 4)
    returns: list[float] = []
    expected = evaluate_teacher(student, env, 10, seed=1_000_000, on_episode=lambda one: returns.append(one.total_reward))
    low, high = expected.success_interval
    assert out.splitlines() == [
        "who       Student(PPO) in cli_parts:pole",
        "episodes  10, seed 1000000",
        f"success   {expected.success_rate:.1%} (95% interval {low:.1%} to {high:.1%})",
        f"return    mean {expected.mean_return:.2f}, standard deviation {np.std(returns):.2f}",
        f"length    mean {expected.mean_length:.1f} steps",
        "frames    strip.png",
    ]
    assert np.asarray(Image.open("strip.png")).shape == (8, 64, 3)

    arguments = ["export", "run/student.zip", "--vec-normalize", "run/vecnormalize.pkl", "--to", "student.onnx"]
    status, out, _ = run(capsys, *arguments)
    assert status == 0
    assert "takes     observation: float32 (n, 4)" in out.splitlines()
    observations = np.random.default_rng(1).normal(size=(20, 4)).astype(np.float32)
    assert student.vec_normalize is not None
    model = PPO.load("run/student.zip", device="cpu")
    actions = model.predict(student.vec_normalize.normalize_obs(observations), deterministic=True)[0]
    (given,) = onnxruntime.InferenceSession("student.onnx").run(None, {"observation": observations})
    np.testing.assert_array_equal(given, actions)

    status, out, progress = run(capsys, "train", "--resume", "run", "--timesteps", "384")
    assert status == 0
    assert "Going on from run/checkpoints/256" in progress.splitlines()
    assert (folder / "run" / "checkpoints" / "384").is_dir()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "--to", "new"], "Say which environment to train on"),
        (["train", "--settings", "none.yaml", "--to", "new"], "No such file or directory: 'none.yaml'"),
        (["train", "--env", "Pole-v7", "--to", "new"], "There is no environment 'Pole-v7'"),
        (["train", "--env", "CartPole-v1", "--teacher", "wise", "--to", "new"], "'wise' is no teacher"),
        (["train", "--env", "CartPole-v1", "--timesteps", "0", "--to", "new"], "timesteps is a whole number"),
        (["train", "--env", "CartPole-v1", "--to", "begun"], "begun holds a training already: go on with --resume begun"),
        (["train", "--resume", "new"], "new holds no training: it has no settings.yaml"),
        (["eval", "--teacher", "cli_parts:teacher"], "Say which environment"),
        (["eval", "--student", "new.zip", "--env", "CartPole-v1"], "No such file or directory: 'new.zip'"),
        (["eval", "--student", "cli_parts.py", "--env", "CartPole-v1"], "cli_parts.py is no archive"),
        (["export", "cli_parts.py", "--to", "student.onnx"], "cli_parts.py is no archive"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_status(
    arguments: list[str], complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "begun" / "checkpoints" / "128").mkdir(parents=True)
    status, out, errors = run(capsys, *arguments)
    assert not (folder / "new").exists()
    assert (status, out) == (1, "")
    said = [line for line in errors.splitlines() if not line.startswith("Loading ")]
    assert len(said) == 1
    assert said[0].startswith("sb3-rpd: ")
    assert complaint in said[0]
    # a number of the operating system's tells nobody anything
    assert "Errno" not in said[0]
    assert len(said[0]) < 500


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["train", "--env", "CartPole-v1"], "--to --resume is required"),
        (["train", "--resume", "run", "--seed", "3"], "--seed is what the training began with"),
        (["train", "--resume", "run", "--set", "gamma=0.9"], "--set is what the training began with"),
        (["eval", "--env", "CartPole-v1"], "--teacher --student is required"),
        (["export", "student.zip"], "--to"),
    ],
)
def test_wrong_command_lines_are_refused(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_every_command_shows_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("train", "eval", "record", "finetune", "export", "serve", "check"):
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        assert f"example:\n  sb3-rpd {name} " in capsys.readouterr().out


def test_an_interrupted_training_says_how_to_go_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*args: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("sb3_rpd.cli.train.train", interrupt)
    status, _, errors = run(capsys, "train", "--settings", "settings.yaml", "--to", "run")
    assert status == 130
    assert errors.endswith("Go on: sb3-rpd train --resume run\n")

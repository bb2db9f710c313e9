"""sb3-rpd train, eval and record with students that remember and with students that are told what is forbidden."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_maskable_policy
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize
from toy_envs import ACTION_SPACES, MaskedEnv, SpacesEnv, masks_for, scripted_teacher
from toy_students import Watched, sharpen

from sb3_rpd.cli import main
from sb3_rpd.demonstrations import read_demonstrations
from sb3_rpd.teachers import FunctionTeacher

BOX, DISCRETE = ACTION_SPACES["box"], ACTION_SPACES["discrete"]
#: The environments that the functions below have made, in turn.
MADE: list[Watched] = []


def box() -> Watched:
    env = Watched(SpacesEnv(BOX))
    env.metadata = {"render_fps": 10}
    MADE.append(env)
    return env


def masked() -> Watched:
    """It asserts that no action is forbidden."""
    MADE.append(Watched(MaskedEnv(DISCRETE)))
    return MADE[-1]


def box_teacher() -> FunctionTeacher:
    return FunctionTeacher(scripted_teacher(BOX))


def masked_teacher() -> FunctionTeacher:
    return FunctionTeacher(scripted_teacher(DISCRETE))


SETTINGS: dict[str, Any] = dict(
    n_envs=2,
    timesteps=64,
    n_steps=16,
    batch_size=16,
    n_epochs=2,
    learning_rate=0.03,
    max_missing_labels=1.0,
    evaluate_every=32,
    evaluation_episodes=4,
    device="cpu",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with settings files in it."""
    recurrent = dict(env=f"{__name__}:box", teacher=f"{__name__}:box_teacher", algorithm="RecurrentRPD", normalize=True)
    recurrent["policy_kwargs"] = {"lstm_hidden_size": 8}
    masks = dict(env=f"{__name__}:masked", teacher=f"{__name__}:masked_teacher", algorithm="MaskableRPD")
    for name, settings in (("recurrent", recurrent), ("masked", masks)):
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(SETTINGS | settings))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    MADE.clear()
    return tmp_path


def evaluated(capsys: pytest.CaptureFixture[str], student: str, episodes: int) -> tuple[str, float]:
    """Who it was, and the mean return that was printed."""
    capsys.readouterr()
    MADE.clear()
    assert main(["eval", "--student", student, "--episodes", str(episodes)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return lines[0].split()[1], float(lines[3].split()[2].rstrip(","))


@pytest.mark.filterwarnings("ignore:Labels are missing")
def test_a_student_with_a_memory(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--settings", "recurrent.yaml", "--to", "run"]) == 0
    assert main(["train", "--resume", "run", "--timesteps", "96"]) == 0
    assert "Going on from run/checkpoints/64" in capsys.readouterr().err.splitlines()
    assert RecurrentPPO.load("run/checkpoints/96/student.zip", device="cpu").num_timesteps == 96

    name, mean_return = evaluated(capsys, "run", 4)
    assert name == "Student(RecurrentPPO)"
    model = RecurrentPPO.load("run/student.zip", device="cpu")
    env = VecNormalize.load("run/vecnormalize.pkl", make_vec_env(box, 2))
    env.training = False
    episodes = [episode for env in MADE for episode in env.episodes if episode.actions]
    assert len(episodes) >= 4
    for episode in episodes:
        states = None
        for observation, action in zip(episode.observations, episode.actions):  # noqa: B905 (one observation more)
            expected, states = model.predict(env.normalize_obs(observation), state=states, deterministic=True)
            np.testing.assert_allclose(action, expected, atol=1e-6)
    # Stable-Baselines3's own evaluation in the same episodes
    env.seed(1_000_000)
    assert mean_return == pytest.approx(evaluate_policy(model, env, 4)[0], abs=0.01)


@pytest.mark.filterwarnings("ignore:Labels are missing")
def test_a_student_that_is_told_what_is_forbidden(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--settings", "masked.yaml", "--to", "run"]) == 0
    name, mean_return = evaluated(capsys, "run", 4)
    assert name == "Student(MaskablePPO)"
    model = MaskablePPO.load("run/student.zip", device="cpu")
    # sb3-contrib's own evaluation in the same episodes
    env = make_vec_env(masked, 2)
    env.seed(1_000_000)
    assert mean_return == pytest.approx(evaluate_maskable_policy(model, env, 4)[0], abs=0.01)
    with pytest.raises(AssertionError, match="is forbidden"):
        evaluate_maskable_policy(model, env, 4, use_masking=False)


def test_a_student_with_a_memory_records(folder: Path) -> None:
    model = RecurrentPPO("MlpLstmPolicy", box(), n_steps=8, seed=0, device="cpu", policy_kwargs={"lstm_hidden_size": 8})
    sharpen(model)
    model.save("student.zip")
    command = ["record", "--env", f"{__name__}:box", "--student", "student.zip", "--to", "demos", "--instruction", "go"]
    assert main([*command, "--episodes", "3"]) == 0
    frames = read_demonstrations(folder / "demos")
    lengths = [7, 5, 7]
    assert len(frames) == sum(lengths)
    expected, first = [], 0
    for length in lengths:
        states = None
        for observation in frames.states[first : first + length]:
            action, states = model.predict(observation, state=states, deterministic=True)
            expected.append(action)
        first += length
    np.testing.assert_allclose(frames.actions, expected, atol=1e-5)
    without = model.predict(frames.states, deterministic=True)[0]
    assert np.abs(without - expected).max() > 0.1


def test_a_student_that_is_told_what_is_forbidden_records(folder: Path) -> None:
    model = MaskablePPO("MlpPolicy", masked(), n_steps=8, seed=0, device="cpu")
    sharpen(model)
    model.save("student.zip")
    MADE.clear()
    command = ["record", "--env", f"{__name__}:masked", "--student", "student.zip", "--format", "maniskill", "--to", "demos"]
    assert main([*command, "--episodes", "4", "--instruction", "go"]) == 0
    (env,) = MADE
    observations = np.concatenate([episode.observations[:-1] for episode in env.episodes])
    actions = np.concatenate([episode.actions for episode in env.episodes])
    masks = masks_for(DISCRETE, observations[:, 0])
    np.testing.assert_array_equal(actions, model.predict(observations, deterministic=True, action_masks=masks)[0])
    assert (actions != model.predict(observations, deterministic=True)[0]).any()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--algorithm", "MaskableRPD"], "the environment has no action_masks(): give it this method, put an ActionMasker"),
        (["--algorithm", "MaskableRPD", "--env", "Pendulum-v1"], "MaskableRPD has to be told what is forbidden"),
        (["--settings", "wrong.yaml"], "There is no algorithm 'PPO', only RPD, RecurrentRPD, MaskableRPD."),
        (["--settings", "sde.yaml"], "'use_sde', which is neither a setting nor an argument of MaskableRPD."),
    ],
)
def test_mistakes_are_one_sentence(
    options: list[str], complaint: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "wrong.yaml").write_text("algorithm: PPO")
    (folder / "sde.yaml").write_text("{algorithm: MaskableRPD, use_sde: true}")
    assert main(["train", "--env", "CartPole-v1", "--to", "new", *options]) == 1
    (said,) = capsys.readouterr().err.splitlines()
    assert complaint in said
    assert len(said) < 500
    assert not (folder / "new").exists()

"""The real zoo with RPD in it: trainings, a student that is watched, a search, each of a few rollouts."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import torch as th
import yaml
from rl_zoo3.utils import SimpleLinearSchedule
from sb3_contrib import RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.utils import ConstantSchedule
from stable_baselines3.common.vec_env import VecNormalize
from zoo_trials import PARAMS, waiting_study

from sb3_rpd import RPD, RecurrentRPD
from sb3_rpd.common.schedules import CosineCoef, LinearCoef
from sb3_rpd.teachers import FunctionTeacher
from sb3_rpd.zoo.commands import HYPERPARAMETERS, main

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = dict(n_steps=16, batch_size=16, n_epochs=2, gamma=0.9)


def against_the_swing(observations: np.ndarray) -> np.ndarray:
    np.testing.assert_allclose(observations[:, 0] ** 2 + observations[:, 1] ** 2, 1.0, atol=1e-5)
    return np.clip(-observations[:, 2:], -2.0, 2.0)


def make_teacher() -> FunctionTeacher:
    """One that refuses observations which are not the pendulum's own, such as normalized ones."""
    return FunctionTeacher(against_the_swing)


TEACHER = f"{__name__}:make_teacher"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own to work in, with hyperparameters in it."""
    hyperparameters = SETTINGS | dict(
        n_envs=2,
        n_timesteps=64,
        policy="MlpPolicy",
        normalize={"norm_reward": False},
        learning_rate="lin_0.01",
        clip_range=0.3,
        teacher=TEACHER,
        imitation_coef="lin_5.0",
    )
    (tmp_path / "my.yml").write_text(yaml.safe_dump({"Pendulum-v1": hyperparameters}), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def zoo(*words: str) -> int:
    return main([*words, "--device", "cpu"])


def train(*words: str) -> int:
    return zoo("train", "--algo", "rpd", "--env", "Pendulum-v1", "--conf", "my.yml", "--seed", "5", *words)


def student_of(run: int) -> PPO:
    return PPO.load(f"logs/rpd/Pendulum-v1_{run}/Pendulum-v1.zip", device="cpu")


def normalized_envs() -> VecNormalize:
    return VecNormalize(make_vec_env("Pendulum-v1", 2, seed=5), norm_reward=False, gamma=SETTINGS["gamma"])


def assert_same_policy(one: PPO, other: PPO) -> None:
    for name, value in one.policy.state_dict().items():
        assert th.equal(value, other.policy.state_dict()[name]), name


def test_the_zoo_trains_what_a_program_would_train() -> None:
    assert train("--eval-freq", "-1") == 0

    env = normalized_envs()
    by_hand = RPD(
        "MlpPolicy",
        env,
        SimpleLinearSchedule(0.01),
        clip_range=ConstantSchedule(0.3),
        teacher=make_teacher(),
        imitation_coef=LinearCoef(5.0),
        seed=5,
        device="cpu",
        **SETTINGS,
    ).learn(64)
    assert_same_policy(student_of(1), by_hand)
    statistics = VecNormalize.load("logs/rpd/Pendulum-v1_1/Pendulum-v1/vecnormalize.pkl", make_vec_env("Pendulum-v1"))
    np.testing.assert_array_equal(statistics.obs_rms.mean, env.obs_rms.mean)
    assert statistics.obs_rms.count == env.obs_rms.count


def test_a_student_with_a_memory_is_trained_evaluated_and_watched(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hyperparameters = yaml.safe_load((folder / "my.yml").read_text(encoding="utf-8"))
    hyperparameters["Pendulum-v1"] |= {"policy": "MlpLstmPolicy", "policy_kwargs": {"lstm_hidden_size": 8}}
    (folder / "my.yml").write_text(yaml.safe_dump(hyperparameters), encoding="utf-8")
    words = ("--algo", "rpd_lstm", "--env", "Pendulum-v1", "--seed", "5")
    assert zoo("train", *words, "--conf", "my.yml", "--eval-freq", "-1") == 0

    by_hand = RecurrentRPD(
        "MlpLstmPolicy",
        normalized_envs(),
        SimpleLinearSchedule(0.01),
        clip_range=ConstantSchedule(0.3),
        teacher=make_teacher(),
        imitation_coef=LinearCoef(5.0),
        policy_kwargs={"lstm_hidden_size": 8},
        seed=5,
        device="cpu",
        **SETTINGS,
    ).learn(64)
    student = RecurrentPPO.load("logs/rpd_lstm/Pendulum-v1_1/Pendulum-v1.zip", device="cpu")
    assert_same_policy(student, by_hand)

    capsys.readouterr()
    assert zoo("enjoy", *words, "-f", "logs", "--no-render", "--n-timesteps", "201") == 0
    (reward,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Episode Reward"))
    env = make_vec_env("Pendulum-v1", seed=5)
    env = VecNormalize.load("logs/rpd_lstm/Pendulum-v1_1/Pendulum-v1/vecnormalize.pkl", env)
    env.training = False
    assert float(reward.split()[-1]) == pytest.approx(evaluate_policy(student, env, 1)[0], abs=0.01)


def test_a_student_is_evaluated_watched_and_trained_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--eval-freq", "32", "--eval-episodes", "1") == 0
    assert Path("logs/rpd/Pendulum-v1_1/best_model.zip").is_file()
    capsys.readouterr()

    words = ("--algo", "rpd", "--env", "Pendulum-v1", "-f", "logs", "--no-render", "--seed", "9", "--n-timesteps", "201")
    assert zoo("enjoy", *words) == 0
    (reward,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("Episode Reward"))
    env = make_vec_env("Pendulum-v1", seed=9)
    env = VecNormalize.load("logs/rpd/Pendulum-v1_1/Pendulum-v1/vecnormalize.pkl", env)
    env.training = False
    student, observations, total = student_of(1), env.reset(), 0.0
    for _ in range(200):
        observations, _, _, _ = env.step(student.predict(observations, deterministic=True)[0])
        total += env.get_original_reward()[0]
    assert float(reward.split()[-1]) == pytest.approx(total, abs=0.01)

    assert train("-i", "logs/rpd/Pendulum-v1_1/Pendulum-v1.zip", "-params", "imitation_coef:'cos_2.0'") == 0
    trained_on = RPD.load("logs/rpd/Pendulum-v1_2/Pendulum-v1.zip", device="cpu")
    assert trained_on.imitation_coef == CosineCoef(2.0)
    assert not th.equal(trained_on.policy.action_net.weight, student.policy.action_net.weight)


@pytest.mark.parametrize(("words", "length"), [((), 16), (("--eval-env-kwargs", "max_episode_steps:8"), 8)])
def test_evaluations_are_in_environments_like_those_of_training(words: tuple[str, ...], length: int, folder: Path) -> None:
    hyperparameters = yaml.safe_load((folder / "my.yml").read_text(encoding="utf-8"))
    hyperparameters["Pendulum-v1"]["env_kwargs"] = {"max_episode_steps": 16}
    (folder / "my.yml").write_text(yaml.safe_dump(hyperparameters), encoding="utf-8")

    assert train("--eval-freq", "32", "--eval-episodes", "2", *words) == 0
    evaluations = np.load("logs/rpd/Pendulum-v1_1/evaluations.npz")
    assert evaluations["ep_lengths"].tolist() == [[length, length]] * 2


def test_a_search_tries_rpd_and_its_trials_can_be_trained() -> None:
    params = PARAMS | {"imitation_annealing": "cosine"}
    study = waiting_study("study.log", "mine", [params | {"imitation_coef": 3.0}, params])

    storage = ("--storage", "study.log", "--study-name", "mine")
    search = ("--optimize", "--n-trials", "2", "--n-evaluations", "1", "--eval-episodes", "1", "--no-optim-plots")
    assert train(*search, *storage, "--optimization-log-path", "trials") == 0
    assert [trial.state for trial in study.trials] == [optuna.trial.TrialState.COMPLETE] * 2
    assert study.trials[1].params == params
    tried = RPD.load("trials/trial_1/best_model.zip", device="cpu")
    assert tried.imitation_coef == CosineCoef(4.0, end_fraction=0.5)

    assert train(*storage, "--trial-id", "1", "--eval-freq", "-1") == 0
    trained = RPD.load("logs/rpd/Pendulum-v1_2/Pendulum-v1.zip", device="cpu")
    assert trained.imitation_coef == CosineCoef(4.0, end_fraction=0.5)
    assert (trained.policy_kwargs["log_std_init"], trained.n_steps, trained.batch_size) == (-2.0, 32, 16)


@pytest.mark.parametrize(("algorithm", "env"), [("rpd", "CartPole-v1"), ("rpd_lstm", "CartPoleNoVel-v1")])
def test_our_algorithms_have_hyperparameters_where_none_are_given(
    algorithm: str, env: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert zoo("train", "--algo", algorithm, "--env", env, "--eval-freq", "-1", "-n", "8", "-params", "n_steps:4") == 0
    assert f"Loading hyperparameters from: {HYPERPARAMETERS[algorithm]}" in capsys.readouterr().out


def test_other_algorithms_have_the_zoo_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo("train", "--algo", "ppo", "--env", "CartPole-v1", "--eval-freq", "-1", "-n", "8", "-params", "n_steps:4") == 0
    assert "rl_zoo3/hyperparams/ppo.yml" in capsys.readouterr().out.replace(os.sep, "/")


@pytest.mark.parametrize(
    ("hyperparameter", "complaint"),
    [
        ("imitation_coef:'lni_5.0'", "'lni_5.0' is neither"),
        ("teacher:'my_teachers:make'", "my_teachers"),
    ],
)
def test_a_mistake_is_one_line(hyperparameter: str, complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    command_line = sys.argv
    assert train("--eval-freq", "-1", "-params", hyperparameter) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("python -m sb3_rpd.zoo: ")
    assert complaint in line
    assert sys.argv is command_line


def test_help_is_the_zoo_s_own(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert "usage: python -m sb3_rpd.zoo train" in (usage := capsys.readouterr().out)
    assert "--conf-file" in usage


def test_without_the_zoo_its_extra_is_named() -> None:
    code = """
import sys
sys.modules["rl_zoo3"] = None  # as if it were not installed
from sb3_rpd.zoo.commands import main
sys.exit(main(["train", "--help"]))
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    finished = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert finished.returncode == 1
    assert "sb3_rpd[zoo]" in finished.stderr

"""A training in a folder: what it leaves, that it is RPD's own, and that it goes on after it was killed."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from toy_envs import ACTION_SPACES, DICT_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.common.schedules import LinearCoef
from sb3_rpd.evaluation import KeepBest
from sb3_rpd.teachers import FunctionTeacher
from sb3_rpd.training.checkpoints import last_checkpoint
from sb3_rpd.training.run import train
from sb3_rpd.training.settings import TrainingSettings

BOX = ACTION_SPACES["box"]


def toy_env() -> SpacesEnv:
    return SpacesEnv(BOX)


def dict_env() -> SpacesEnv:
    return SpacesEnv(BOX, DICT_SPACE)


def image_env() -> SpacesEnv:
    return SpacesEnv(BOX, spaces.Box(0, 255, (36, 36, 3), np.uint8))


def stacked_envs() -> VecFrameStack:
    return VecFrameStack(DummyVecEnv([toy_env]), 2)


def controlled_env() -> TeacherActionWrapper:
    return TeacherActionWrapper(toy_env(), controller=lambda env: np.array([1.0, 3.0], np.float32))


def shown_env() -> TeacherActionWrapper:
    """What its teacher sees has the shape of what its student sees."""
    return TeacherActionWrapper(toy_env(), observation={"state": lambda env: np.full(4, 0.5, np.float32)})


def toy_teacher() -> FunctionTeacher:
    return FunctionTeacher(scripted_teacher(BOX))


def shown_teacher() -> FunctionTeacher:
    return FunctionTeacher(lambda observations: scripted_teacher(BOX)(observations["state"]))


SETTINGS = TrainingSettings(
    env=f"{__name__}:toy_env",
    n_envs=2,
    normalize={"norm_reward": False},
    teacher=f"{__name__}:toy_teacher",
    timesteps=128,
    seed=3,
    evaluate_every=64,
    evaluation_episodes=4,
    checkpoint_every=64,
    rpd=dict(n_steps=16, batch_size=16, n_epochs=2, imitation_coef="lin_2.0", device="cpu"),
)


def assert_same_policy(path: Path, model: RPD) -> None:
    for name, value in PPO.load(path, device="cpu").policy.state_dict().items():
        assert th.equal(value, model.policy.state_dict()[name])


def test_a_training_is_rpd_s_own(tmp_path: Path) -> None:
    said: list[str] = []
    keep_best = train(SETTINGS, tmp_path, said.append)

    env = VecNormalize(make_vec_env(toy_env, 2, seed=3), norm_reward=False)
    # before the model, whose generators an environment without a seed would draw from
    expected = KeepBest(make_vec_env(toy_env, 2), every=64, n_episodes=4)
    kwargs = SETTINGS.rpd | {"imitation_coef": LinearCoef(2.0)}
    model = RPD("MlpPolicy", env, seed=3, teacher=toy_teacher(), **kwargs)
    model.learn(128, callback=expected)
    last = tmp_path / "checkpoints" / "128"
    assert last_checkpoint(tmp_path / "checkpoints") == last
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["128"]
    assert_same_policy(last / "student.zip", model)
    statistics = VecNormalize.load(str(last / "vecnormalize.pkl"), make_vec_env(toy_env, 2))
    np.testing.assert_array_equal(statistics.obs_rms.mean, env.obs_rms.mean)

    assert keep_best.evaluations == expected.evaluations
    assert [steps for steps, _ in keep_best.evaluations] == [64, 128]
    expected.restore()
    assert_same_policy(tmp_path / "student.zip", model)
    statistics = VecNormalize.load(str(tmp_path / "vecnormalize.pkl"), make_vec_env(toy_env, 2))
    np.testing.assert_array_equal(statistics.obs_rms.mean, env.obs_rms.mean)
    assert any(re.fullmatch(r"  evaluated after 64 steps: success 2 of 4, return .*, 6 steps", line) for line in said)
    assert any(line.startswith("128 of 128 steps, ") for line in said)
    rows = (tmp_path / "progress-0.csv").read_text().splitlines()
    assert "train/imitation_loss" in rows[0]
    assert len(rows) == 1 + 4


def test_going_on_makes_the_steps_that_are_left_and_keeps_the_best_of_all(tmp_path: Path) -> None:
    first = train(SETTINGS, tmp_path, lambda line: None)
    said: list[str] = []
    second = train(SETTINGS.changed(timesteps=192), tmp_path, said.append)
    assert said[0] == f"Going on from {tmp_path / 'checkpoints' / '128'}"
    assert second.evaluations[:2] == first.evaluations
    assert [steps for steps, _ in second.evaluations] == [64, 128, 192]
    assert second.best[1] == max((one for _, one in second.evaluations), key=lambda one: (one.successes, one.mean_return))
    rows = (tmp_path / "progress-128.csv").read_text().splitlines()
    coefs = [row.split(",")[rows[0].split(",").index("train/imitation_coef")] for row in rows[1:]]
    # Each row has the training of the iteration before. The schedule goes on with the whole training: 2 (1 - 128 / 192)
    assert [float(coef) for coef in coefs if coef] == pytest.approx([2 / 3])
    # there is nothing left: the result is made again
    (tmp_path / "student.zip").unlink()
    third = train(SETTINGS.changed(timesteps=192), tmp_path, said.append)
    assert third.best == second.best
    assert (tmp_path / "student.zip").is_file()


@pytest.mark.parametrize(("env", "teacher"), [("controlled_env", None), ("shown_env", f"{__name__}:shown_teacher")])
def test_the_best_student_is_found_by_what_the_student_does(env: str, teacher: str | None, tmp_path: Path) -> None:
    settings = replace(SETTINGS, env=f"{__name__}:{env}", teacher=teacher, normalize=False, timesteps=64)
    ((_, evaluation),) = train(settings, tmp_path, lambda line: None).evaluations
    student = PPO.load(tmp_path / "student.zip", device="cpu")
    bare = make_vec_env(toy_env, 2)
    bare.seed(500_000)
    assert evaluation.mean_return == pytest.approx(evaluate_policy(student, bare, 4)[0])


@pytest.mark.slow
def test_a_training_that_is_killed_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    settings = SETTINGS.changed(timesteps=1_000_000, checkpoint_every=256, evaluate_every=10_000)
    settings.save(tmp_path / "given.yaml")
    tests = Path(__file__).parents[1]
    command = [
        sys.executable,
        "-m",
        "sb3_rpd",
        "train",
        "--settings",
        str(tmp_path / "given.yaml"),
        "--to",
        str(tmp_path / "run"),
    ]
    path = os.pathsep.join([str(tests.parent), str(tests), str(Path(__file__).parent)])
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": path}, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 200
        while last_checkpoint(tmp_path / "run" / "checkpoints") is None:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    last = last_checkpoint(tmp_path / "run" / "checkpoints")
    assert last is not None
    made = int(last.name)
    said: list[str] = []
    train(settings.changed(timesteps=made + 32), tmp_path / "run", said.append)
    assert said[0] == f"Going on from {last}"
    assert PPO.load(tmp_path / "run" / "checkpoints" / str(made + 32) / "student.zip", device="cpu").num_timesteps == made + 32


def test_wrappers_that_the_evaluation_would_leave_out_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Stack frames inside each environment; for VecNormalize write `normalize: true`"):
        train(SETTINGS.changed(env=f"{__name__}:stacked_envs"), tmp_path, lambda line: None)


def test_arguments_of_a_wrong_kind_are_named(tmp_path: Path) -> None:
    rpd = SETTINGS.rpd | {"n_steps": "many"}
    with pytest.raises(ValueError, match=r"RPD cannot be made with .*'n_steps': 'many'"):
        train(SETTINGS.changed(rpd=rpd), tmp_path, lambda line: None)


@pytest.mark.parametrize(
    ("env", "policy", "policy_class", "extractor"),
    [
        ("toy_env", "auto", ActorCriticPolicy, FlattenExtractor),
        ("dict_env", "auto", MultiInputActorCriticPolicy, CombinedExtractor),
        ("image_env", "auto", ActorCriticCnnPolicy, NatureCNN),
        ("image_env", "MlpPolicy", ActorCriticPolicy, FlattenExtractor),
    ],
)
def test_the_policy_goes_by_the_observations_unless_it_is_named(
    env: str, policy: str, policy_class: type, extractor: type, tmp_path: Path
) -> None:
    named = replace(SETTINGS, env=f"{__name__}:{env}", policy=policy, normalize=False, timesteps=32, evaluate_every=32)
    train(replace(named, rpd=SETTINGS.rpd | {"tensorboard_log": str(tmp_path / "logs")}), tmp_path / "run", lambda line: None)
    student = PPO.load(tmp_path / "run" / "student.zip", device="cpu")
    assert type(student.policy) is policy_class
    assert type(student.policy.features_extractor) is extractor
    assert list((tmp_path / "logs").glob("events.*"))

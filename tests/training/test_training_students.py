"""Students by name: a training's folder brings its statistics, a file has none, and what is named counts."""

from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.evaluation import Student
from sb3_rpd.training.students import find_student

OBSERVATIONS = np.array([[0.5, -0.5, 2.0], [1.0, 0.0, -4.0]], np.float32)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training leaves, with statistics that are easy to apply by hand; others beside it."""
    folder = tmp_path_factory.mktemp("training")
    env = VecNormalize(make_vec_env("Pendulum-v1"), norm_reward=False, clip_obs=100.0, epsilon=0.0)
    PPO("MlpPolicy", env, n_steps=8, batch_size=8, seed=0, device="cpu").save(folder / "student.zip")
    for name, mean in (("vecnormalize.pkl", 1.0), ("other.pkl", 3.0)):
        env.obs_rms.mean, env.obs_rms.var = np.full(3, mean), np.full(3, 4.0)
        env.save(str(folder / name))
    return folder


def actions_of(student: Student) -> np.ndarray:
    return student.act(OBSERVATIONS, np.ones(len(OBSERVATIONS), dtype=bool))


def answer_to(folder: Path, seen: np.ndarray) -> np.ndarray:
    return PPO.load(folder / "student.zip", device="cpu").predict(seen.astype(np.float32), deterministic=True)[0]


def test_a_folder_brings_its_statistics(folder: Path) -> None:
    np.testing.assert_allclose(actions_of(find_student(folder)), answer_to(folder, (OBSERVATIONS - 1.0) / 2.0), rtol=1e-6)


def test_statistics_that_are_named_count_in_place_of_the_folder_s(folder: Path) -> None:
    actions = actions_of(find_student(folder, folder / "other.pkl"))
    np.testing.assert_allclose(actions, answer_to(folder, (OBSERVATIONS - 3.0) / 2.0), rtol=1e-6)


def test_a_file_has_none(folder: Path) -> None:
    np.testing.assert_array_equal(actions_of(find_student(folder / "student.zip")), answer_to(folder, OBSERVATIONS))


def test_a_folder_without_a_student(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"student\.zip"):
        find_student(tmp_path)

"""Which class loads a saved student."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd import RPD
from sb3_rpd.common.student_files import load_student, student_class


class MaskedEnv(SpacesEnv):
    def __init__(self) -> None:
        super().__init__(ACTION_SPACES["discrete"])

    def action_masks(self) -> list[bool]:
        return [True, True, True]


@pytest.mark.parametrize(
    ("algorithm", "policy", "kwargs", "loaded_by"),
    [
        (PPO, "MlpPolicy", {}, PPO),
        (RPD, "MlpPolicy", {"imitation_loss": "kl"}, PPO),
        (RecurrentPPO, "MlpLstmPolicy", {"policy_kwargs": {"lstm_hidden_size": 4}}, RecurrentPPO),
        (MaskablePPO, "MlpPolicy", {}, MaskablePPO),
    ],
)
def test_class_is_told_by_the_archive(
    algorithm: type[BaseAlgorithm], policy: str, kwargs: dict[str, Any], loaded_by: type[BaseAlgorithm], tmp_path: Path
) -> None:
    algorithm(policy, MaskedEnv(), n_steps=8, batch_size=8, device="cpu", **kwargs).save(tmp_path / "student.zip")
    assert student_class(tmp_path / "student.zip") is loaded_by
    assert type(load_student(tmp_path / "student.zip")) is loaded_by
    # As save() adds the ending
    assert type(load_student(tmp_path / "student")) is loaded_by


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "student.zip"
    with pytest.raises(FileNotFoundError):
        load_student(path)
    path.write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"student\.zip is no archive that a Stable-Baselines3 model's save\(\) writes"):
        load_student(path)
    A2C("MlpPolicy", "CartPole-v1", device="cpu").save(path)
    with pytest.raises(ValueError, match="holds no student of RPD, PPO, RecurrentPPO or MaskablePPO"):
        load_student(path)


class Bomb:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


def test_telling_the_class_unpickles_nothing(tmp_path: Path) -> None:
    PPO("MlpPolicy", "CartPole-v1", device="cpu").save(tmp_path / "student.zip")
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(tmp_path / "student.zip") as source, zipfile.ZipFile(bomb, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(name, pickle.dumps(Bomb(tmp_path / "trace")) + b"lstm_actor" if name == "policy.pth" else content)
    assert student_class(bomb) is RecurrentPPO
    assert not (tmp_path / "trace").exists()

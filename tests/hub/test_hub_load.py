"""A student from the hub's cache, as huggingface_hub lays it out; and none without consent."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd import RPD
from sb3_rpd.hub import load_from_hub
from sb3_rpd.training.checkpoints import save_student

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OBSERVATIONS = np.linspace(-1.0, 1.0, 20, dtype=np.float32).reshape(5, 4)


def lay_into_cache(cache: Path, model: PPO, commit: str = COMMIT) -> Path:
    """A snapshot where huggingface_hub looks for one; it is that of the branch."""
    repository = cache / "models--somebody--toy"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir(exist_ok=True)
    (repository / "refs" / "main").write_text(commit)
    save_student(model, snapshot)
    return snapshot


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """As HF_HUB_OFFLINE=1 sets it where the library is imported."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def toy_model(algorithm: type[PPO] = PPO, normalized: bool = True) -> PPO:
    env = make_vec_env(lambda: SpacesEnv(ACTION_SPACES["box"]), 2)
    return algorithm("MlpPolicy", VecNormalize(env) if normalized else env, n_steps=16, batch_size=16, device="cpu")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("normalized", [True, False])
def test_offline_the_cache_is_enough(normalized: bool, tmp_path: Path) -> None:
    model = toy_model(normalized=normalized)
    snapshot = lay_into_cache(tmp_path, model)
    student = load_from_hub("somebody/toy", trust_pickle=True, cache_dir=tmp_path)
    assert student.folder == snapshot
    assert type(student.model) is PPO
    np.testing.assert_array_equal(
        student.model.predict(OBSERVATIONS, deterministic=True)[0], model.predict(OBSERVATIONS, deterministic=True)[0]
    )
    assert (student.vec_normalize is not None) == normalized


@pytest.mark.usefixtures("offline")
def test_it_loads_as_rpd_to_train_on(tmp_path: Path) -> None:
    lay_into_cache(tmp_path, toy_model(RPD))
    student = load_from_hub("somebody/toy", trust_pickle=True, cache_dir=tmp_path, algorithm=RPD)
    assert type(student.model) is RPD


@pytest.mark.usefixtures("offline")
def test_a_commit_holds_the_student_to_what_it_was(tmp_path: Path) -> None:
    before, after = toy_model(), toy_model()
    lay_into_cache(tmp_path, before)
    lay_into_cache(tmp_path, after, commit="f" * 40)
    for revision, model in ((COMMIT, before), (None, after), ("main", after)):
        student = load_from_hub("somebody/toy", trust_pickle=True, cache_dir=tmp_path, revision=revision)
        np.testing.assert_array_equal(
            student.model.predict(OBSERVATIONS, deterministic=True)[0], model.predict(OBSERVATIONS, deterministic=True)[0]
        )
    with pytest.raises(LocalEntryNotFoundError):
        load_from_hub("somebody/toy", trust_pickle=True, cache_dir=tmp_path, revision="e" * 40)


@pytest.mark.usefixtures("offline")
def test_what_the_cache_does_not_have_is_missing(tmp_path: Path) -> None:
    with pytest.raises(LocalEntryNotFoundError):
        load_from_hub("somebody/other", trust_pickle=True, cache_dir=tmp_path)
    snapshot = lay_into_cache(tmp_path, toy_model())
    (snapshot / "student.zip").unlink()
    with pytest.raises(ValueError, match=r"somebody/toy has no student\.zip"):
        load_from_hub("somebody/toy", trust_pickle=True, cache_dir=tmp_path)


@pytest.mark.usefixtures("offline")
def test_without_consent_nothing_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay_into_cache(tmp_path, toy_model())

    def download(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("it was downloaded")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(ValueError, match=r"a pickle can run any program .* trust_pickle=True"):
        load_from_hub("somebody/toy", cache_dir=tmp_path)

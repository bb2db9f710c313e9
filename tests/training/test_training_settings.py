"""The settings of a training: what a file may say, and that what is written is read again."""

from pathlib import Path

import pytest

from sb3_rpd.training.settings import TrainingSettings, read_settings

WRITTEN = """
env: LiftCube-v0
env_kwargs: {reward: dense, max_episode_steps: 100}
n_envs: 4
normalize: {norm_reward: false}
teacher: scripted
timesteps: 60_000
learning_rate: 1e-3
imitation_coef: lin_5.0
policy_kwargs: {log_std_init: -2, optimizer_kwargs: {eps: 1e-5}}
"""
READ = TrainingSettings(
    env="LiftCube-v0",
    env_kwargs={"reward": "dense", "max_episode_steps": 100},
    n_envs=4,
    normalize={"norm_reward": False},
    teacher="scripted",
    timesteps=60_000,
    rpd={
        # YAML itself reads 1e-3, without a point, as a text
        "learning_rate": 0.001,
        "imitation_coef": "lin_5.0",
        "policy_kwargs": {"log_std_init": -2, "optimizer_kwargs": {"eps": 1e-05}},
    },
)


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text)
    return path


def test_a_file_is_read_and_options_count_more(tmp_path: Path) -> None:
    path = write(tmp_path, WRITTEN)
    assert read_settings(path) == READ
    assert read_settings(path, timesteps=10, seed=3, teacher=None) == READ.changed(timesteps=10, seed=3)
    assert read_settings(None, env="CartPole-v1") == TrainingSettings("CartPole-v1")


def test_changes_are_made_one_by_one_and_options_count_more(tmp_path: Path) -> None:
    path = write(tmp_path, WRITTEN)
    changes = ["gamma=9e-1", "teacher=null", "env_kwargs.reward=sparse", "policy_kwargs.net_arch.pi=[5]", "seed=1", "seed=2"]
    changed = read_settings(path, changes, n_envs=2)
    assert (changed.rpd["gamma"], changed.teacher, changed.seed, changed.n_envs) == (0.9, None, 2, 2)
    assert changed.env_kwargs == {"reward": "sparse", "max_episode_steps": 100}
    assert changed.rpd["policy_kwargs"] == READ.rpd["policy_kwargs"] | {"net_arch": {"pi": [5]}}
    assert read_settings(None, ["env=CartPole-v1", "env_kwargs=null"]) == TrainingSettings("CartPole-v1")
    assert read_settings(path, ["target_kl=null"]).rpd["target_kl"] is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("gamma", "written as name=value, and 'gamma' is not"),
        ("=3", "written as name=value"),
        ("n_envs.two=3", "n_envs is 4, which has no names within it"),
        ("gamma=[", "the value of gamma, is no YAML"),
        ("gama=0.9", "has 'gama', which is neither a setting nor an argument of RPD. Did you mean 'gamma'"),
    ],
)
def test_wrong_changes_are_named(change: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        read_settings(write(tmp_path, WRITTEN), [change])
    assert len(str(refused.value)) < 500


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    masked = TrainingSettings("CartPole-v1", algorithm="MaskableRPD", seed=5, evaluate_every=10, rpd={"n_steps": 8})
    for settings in (READ, masked):
        settings.save(tmp_path / "again.yaml")
        assert read_settings(tmp_path / "again.yaml") == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("env: a\nn_step: 5", "has 'n_step', which is neither a setting nor an argument of RPD. Did you mean 'n_steps'"),
        ("env: a\n_init_setup_model: false", "neither a setting nor an argument"),
        ("n_envs: 4", "Say which environment to train on: --env"),
        ("env: a\ntimesteps: 1.5", r"timesteps is a whole number, at least 1, not 1\.5"),
        ("env: a\nn_envs: 0", "n_envs is a whole number, at least 1, not 0"),
        ("just words", "holds no settings: it is read as 'just words'"),
        ("env: [", r"settings\.yaml is no YAML file"),
    ],
)
def test_mistakes_are_named(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        read_settings(write(tmp_path, text))
    assert len(str(refused.value)) < 500

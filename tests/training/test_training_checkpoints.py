"""Checkpoints: when there is one, what is in it, and that a kill at any moment leaves a whole one."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.save_util import load_from_pkl
from stable_baselines3.common.vec_env import VecNormalize
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd.evaluation import KeepBest
from sb3_rpd.training.checkpoints import SaveCheckpoints, last_checkpoint

OBSERVATIONS = np.linspace(-1.0, 1.0, 20, dtype=np.float32).reshape(5, 4)


def student(normalized: bool = False) -> PPO:
    """One whose iterations have 16 steps."""
    env = make_vec_env(lambda: SpacesEnv(ACTION_SPACES["box"]), 2)
    env = VecNormalize(env) if normalized else env
    return PPO("MlpPolicy", env, n_steps=8, batch_size=16, n_epochs=1, seed=0, device="cpu")


def keep_best() -> KeepBest:
    return KeepBest(make_vec_env(lambda: SpacesEnv(ACTION_SPACES["box"])), every=10_000, n_episodes=1)


def test_a_checkpoint_of_more_steps_counts_more_and_an_unfinished_one_is_none(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path / "none") is None
    assert last_checkpoint(tmp_path) is None
    for name in ("64", "1024", "128", "2048.unfinished", "notes"):
        (tmp_path / name).mkdir()
    assert last_checkpoint(tmp_path) == tmp_path / "1024"


class Recorded(SaveCheckpoints):
    """Knows what was there when each rollout began."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.there: list[list[str]] = []

    def _on_rollout_start(self) -> None:
        super()._on_rollout_start()
        self.there.append(sorted(path.name for path in self.folder.glob("*")))


def test_there_is_one_every_so_many_steps_and_at_the_end(tmp_path: Path) -> None:
    model, best = student(), keep_best()
    callback = Recorded(tmp_path / "new" / "checkpoints", 40, best)
    model.learn(112, callback=[best, callback])
    # of 40 steps and more after that before it: rollouts begin at 0, 16, 32, ..., 96
    assert callback.there == [[], [], [], ["48"], ["48"], ["48"], ["96"]]
    assert [path.name for path in callback.folder.iterdir()] == ["112"]
    # the count goes on with the training
    callback.there.clear()
    model.learn(64, callback=[best, callback], reset_num_timesteps=False)
    assert callback.there == [["112"], ["112"], ["112"], ["160"]]


def test_a_finished_training_that_is_begun_again_leaves_its_checkpoint(tmp_path: Path) -> None:
    model, best = student(), keep_best()
    callback = SaveCheckpoints(tmp_path, 16, best)
    model.learn(32, callback=[best, callback])
    written = {path: path.read_bytes() for path in (tmp_path / "32").iterdir()}
    model.learn(0, callback=[best, callback], reset_num_timesteps=False)
    assert [path.name for path in tmp_path.iterdir()] == ["32"]
    assert {path: path.read_bytes() for path in (tmp_path / "32").iterdir()} == written


@pytest.mark.parametrize("normalized", [False, True])
def test_a_checkpoint_is_what_the_last_update_left(normalized: bool, tmp_path: Path) -> None:
    model, best = student(normalized), keep_best()
    model.learn(32, callback=[best, SaveCheckpoints(tmp_path, 16, best)])
    names = {"student.zip", "keep_best.pkl"} | ({"vecnormalize.pkl"} if normalized else set())
    assert {path.name for path in (tmp_path / "32").iterdir()} == names
    loaded = PPO.load(tmp_path / "32" / "student.zip", device="cpu")
    assert loaded.num_timesteps == 32
    np.testing.assert_array_equal(
        loaded.predict(OBSERVATIONS, deterministic=True)[0], model.predict(OBSERVATIONS, deterministic=True)[0]
    )
    if normalized:
        statistics = load_from_pkl(tmp_path / "32" / "vecnormalize.pkl")
        # two environments that were reset, and made 16 steps each
        assert statistics.obs_rms.count == pytest.approx(2 + 32, abs=1e-3)
        np.testing.assert_array_equal(statistics.obs_rms.mean, model.get_vec_normalize_env().obs_rms.mean)
    # the evaluation after the last training is in it
    evaluations, _ = load_from_pkl(tmp_path / "32" / "keep_best.pkl")
    assert [steps for steps, _ in evaluations] == [32]


class Killed(BaseException):
    """Like SIGKILL, it is handled by nobody."""


def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change to the folder in turn is the last one that a process makes, before it or after half of it."""
    best, kills = keep_best(), 0
    model = student()
    checkpoints = SaveCheckpoints(tmp_path / "checkpoints", 1, best)
    model.learn(16, callback=[best, checkpoints])
    for moment in range(100):
        calls = iter(range(100))

        def dying(work: Any, half: Any, calls: Any = calls, moment: int = moment) -> Any:
            def call(first: Any, *args: Any, **kwargs: Any) -> Any:
                if next(calls) == moment:
                    half(first)
                    raise Killed
                return work(first, *args, **kwargs)

            return call

        with monkeypatch.context() as patched:
            patched.setattr(
                shutil,
                "rmtree",
                dying(shutil.rmtree, lambda folder: next(iter(folder.glob("s*")), folder / "none").unlink(missing_ok=True)),
            )
            patched.setattr(Path, "rename", dying(Path.rename, lambda path: None))
            patched.setattr(PPO, "save", dying(PPO.save, lambda model: None))
            patched.setattr(KeepBest, "save", dying(KeepBest.save, lambda best: None))
            try:
                model.learn(16, callback=[best, checkpoints], reset_num_timesteps=False)
            except Killed:
                kills += 1
        last = last_checkpoint(tmp_path / "checkpoints")
        assert last is not None
        loaded = PPO.load(last / "student.zip", device="cpu")
        assert str(loaded.num_timesteps) == last.name
        assert load_from_pkl(last / "keep_best.pkl")
        if kills == moment:
            break
    assert kills >= 5
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == [str(model.num_timesteps)]

"""What a training says of itself."""

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd.evaluation import KeepBest, TeacherEvaluation
from sb3_rpd.training import progress
from sb3_rpd.training.progress import ShowProgress, describe


def toy_env() -> SpacesEnv:
    return SpacesEnv(ACTION_SPACES["box"])


class Clock:
    """Each look at it takes ten seconds."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 10.0
        return self.now


def test_the_time_that_is_left_follows_from_the_steps_made_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    keep_best = KeepBest(DummyVecEnv([toy_env]), every=64, n_episodes=2)
    model = PPO("MlpPolicy", make_vec_env(toy_env, 2, seed=0), n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
    monkeypatch.setattr(progress, "time", Clock())
    model.learn(128, callback=[keep_best, ShowProgress(128, keep_best, said.append, seconds=20.0)])

    # 32 steps a rollout, after each of which the clock is looked at, and every other time there is a line: 20 s for 64 steps,
    # 64 steps left. At the end there is nothing new to say
    lines = [line.partition(", success")[0] for line in said]
    assert lines[0] == "64 of 128 steps, 20 s, about 20 s left"
    assert lines[1].startswith("  evaluated after 64 steps: success 1 of 2")
    assert lines[2] == "128 of 128 steps, 40 s"
    assert lines[3].startswith("  evaluated after 128 steps: success 1 of 2")
    assert len(lines) == 4


def test_figures_of_an_evaluation() -> None:
    assert describe(TeacherEvaluation(20, 17, -13.54, 46.2)) == "success 17 of 20, return -13.5, 46 steps"
    assert describe(TeacherEvaluation(20, None, -13.54, 46.2)) == "return -13.5, 46 steps"

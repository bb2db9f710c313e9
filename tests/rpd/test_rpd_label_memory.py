"""RPD with LabelMemory: what it is given and when, its effect, its life in archives."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, SpacesEnv, scripted_teacher

from sb3_rpd import RPD, MaskableRPD, RecurrentRPD
from sb3_rpd.common.label_memory import LabelMemory

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]


class Slow(gym.Env):
    """One step without a reward: only the teacher tells anything."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return np.zeros(2, np.float32), 0.0, True, False, {}


def turned(observations: np.ndarray) -> np.ndarray:
    return 0.9 * observations[:, ::-1]


def make(env: type[gym.Env] = Slow, **kwargs: Any) -> RPD:
    settings: dict[str, Any] = {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "seed": 0, "teacher": turned}
    return RPD("MlpPolicy", make_vec_env(env, n_envs=2, seed=0), **settings | kwargs)


def distance(model: RPD) -> float:
    observations = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    actions, _ = model.predict(observations, deterministic=True)
    return float(np.abs(actions - turned(observations)).mean())


def test_a_student_learns_more_from_the_same_labels() -> None:
    without = make(label_every=4).learn(640)
    remembering = make(label_every=4, label_memory=LabelMemory(minibatches=256, batch_size=64, learning_rate=3e-3)).learn(640)
    assert remembering.label_memory is not None
    assert len(remembering.label_memory) == 640 // 4
    assert distance(without) > 0.3
    assert distance(remembering) < 0.05


def test_nothing_is_imitated_where_the_coefficient_is_zero() -> None:
    memory = LabelMemory()
    model = make(label_memory=memory, imitation_coef=0.0).learn(32)
    assert len(memory) == 0
    assert "train/memory_minibatches" not in model.logger.name_to_value


def test_a_new_training_begins_with_nothing_and_a_continued_one_goes_on() -> None:
    memory = LabelMemory(minibatches=1)
    model = make(label_memory=memory).learn(64)
    assert len(memory) == 64
    model.learn(32, reset_num_timesteps=False)
    assert len(memory) == 96
    model.learn(32)
    assert len(memory) == 32


def test_its_settings_are_saved_and_its_labels_are_not(tmp_path: Path) -> None:
    model = make(label_memory=LabelMemory(minibatches=2, batch_size=8, capacity=40)).learn(64)
    model.save(tmp_path / "student")
    loaded = RPD.load(tmp_path / "student", env=model.get_env(), teacher=turned)
    assert loaded.label_memory == model.label_memory
    assert loaded.label_memory is not None
    assert len(loaded.label_memory) == 0
    loaded.learn(32, reset_num_timesteps=False)
    assert len(loaded.label_memory) == 32


def test_the_same_seed_gives_the_same_student() -> None:
    first, second = (make(label_memory=LabelMemory(minibatches=4)).learn(64) for _ in range(2))
    np.testing.assert_array_equal(first.policy.action_net.weight.detach(), second.policy.action_net.weight.detach())


def test_recurrent_students_have_no_single_observations() -> None:
    env = make_vec_env(Slow, n_envs=2)
    with pytest.raises(ValueError, match="LabelMemory draws single observations, and a RecurrentActorCriticPolicy"):
        RecurrentRPD("MlpLstmPolicy", env, teacher=turned, label_memory=LabelMemory())


def test_masked_students_have_one() -> None:
    class Masked(SpacesEnv):
        def action_masks(self) -> np.ndarray:
            return np.ones(self.action_space.n, dtype=bool)  # type: ignore[attr-defined]

    space = ACTION_SPACES["discrete"]
    env = make_vec_env(lambda: Masked(space), n_envs=2)
    memory = LabelMemory(minibatches=2, batch_size=8)
    model = MaskableRPD("MlpPolicy", env, teacher=scripted_teacher(space), label_memory=memory, n_steps=16, batch_size=16)
    model.learn(32)
    assert len(memory) == 32

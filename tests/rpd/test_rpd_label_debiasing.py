"""RPD with LabelDebiasing: its correction against an independent computation, its effect, its life in archives."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, DICT_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.label_debiasing import LabelDebiasing

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]


class Recording(RPD):
    """Keeps what there is between a rollout and its training, in float64."""

    def train(self) -> None:
        buffer = self.rollout_buffer
        self.labels_before = buffer.teacher_actions.copy()
        self.actions, self.advantages = buffer.actions.astype(np.float64), buffer.advantages.astype(np.float64)
        shape = (len(self.actions), self.n_envs)
        if isinstance(buffer.observations, dict):
            flat = {name: array.reshape(-1, *array.shape[2:]) for name, array in buffer.observations.items()}
        else:
            flat = buffer.observations.reshape(-1, *buffer.observations.shape[2:])
        with th.no_grad():
            features = self.policy.extract_features(self.policy.obs_to_tensor(flat)[0])
            latent = self.policy.mlp_extractor.forward_actor(features)
            self.mean = self.policy.action_net(latent).double().numpy().reshape(*shape, -1)
            self.std = self.policy.log_std.double().exp().numpy()
        self.failure_rate = 1.0 - float(np.mean(self.ep_success_buffer))
        super().train()
        self.labels_after = buffer.teacher_actions.copy()


@pytest.mark.parametrize("fast", [None, False])
@pytest.mark.parametrize(("policy", "observation_space"), [("MlpPolicy", None), ("MultiInputPolicy", DICT_SPACE)])
def test_correction_and_labels_against_an_independent_computation(
    policy: str, observation_space: spaces.Space | None, fast: bool | None
) -> None:
    env = make_vec_env(lambda: SpacesEnv(BOX, observation_space), n_envs=2, seed=0)
    debiasing = LabelDebiasing(step_size=0.3, gain_step_size=0.5, start=0.0)
    network = {"net_arch": [8], "log_std_init": -1.0}
    if observation_space is not None:
        network["features_extractor_kwargs"] = {"cnn_output_dim": 8}
    settings: dict[str, Any] = {"n_steps": 12, "batch_size": 8, "n_epochs": 1, "seed": 0, "policy_kwargs": network}
    model = Recording(
        policy, env, teacher=scripted_teacher(BOX), label_fraction=0.6, label_debiasing=debiasing, fast=fast, **settings
    )
    model.learn(24)

    normalized = (model.advantages - model.advantages.mean()) / model.advantages.std()
    assert 0.0 < model.failure_rate < 1.0
    half = (BOX.high - BOX.low).astype(np.float64) / 2
    gains = model.failure_rate * normalized[..., None] * (model.actions - model.mean) / model.std
    mean_label = np.nanmean(model.labels_before, axis=(0, 1))
    gain = 0.5 * np.nan_to_num(gains * (model.labels_before - mean_label) / half).mean(axis=(0, 1))
    bias = 0.3 * half * gains.mean(axis=(0, 1)) - gain * mean_label
    np.testing.assert_allclose(debiasing.bias, bias, rtol=1e-4)
    np.testing.assert_allclose(debiasing.gain, gain, rtol=1e-4, atol=1e-7)
    expected = np.clip((1 + gain) * model.labels_before + bias, BOX.low - half / 2, BOX.high + half / 2)
    assert np.isnan(expected).any()
    np.testing.assert_allclose(model.labels_after, expected, rtol=1e-4, atol=1e-6)


class LearningTwice(RPD):
    """Learns from one rollout in the order in which it was collected, and in that of training."""

    def train(self) -> None:
        buffer = self.rollout_buffer
        labels = buffer.teacher_actions.copy()
        self.found = []
        for _ in range(2):
            debiasing = LabelDebiasing(start=0.0)
            debiasing.learn_from(self.policy, buffer, progress_remaining=0.5, success_rate=0.0)
            self.found.append((debiasing.bias, debiasing.gain, buffer.teacher_actions.copy()))
            buffer.teacher_actions[...] = labels
            buffer.flatten()


def test_the_order_of_a_rollout_makes_no_difference() -> None:
    env = make_vec_env(lambda: SpacesEnv(BOX), n_envs=3, seed=0)
    model = LearningTwice("MlpPolicy", env, teacher=scripted_teacher(BOX), n_steps=12, batch_size=36, seed=0)
    model.learn(36)
    for first, second in zip(*model.found, strict=True):
        assert first.any()
        np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-7)


class Aim(gym.Env):
    """One step: what counts is how near the action is to a tenth of the observation."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = self.np_random.uniform(-1, 1, 2).astype(np.float32)
        return self.state, {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        return self.state, -float(np.sum((action - 0.1 * self.state) ** 2)), True, False, {}


def aim_beside(observations: np.ndarray) -> np.ndarray:
    """A teacher that errs by (0.5, -0.3), always."""
    return 0.1 * observations + np.array([0.5, -0.3])


def train(debiasing: LabelDebiasing | None, seed: int = 0) -> RPD:
    env = make_vec_env(Aim, n_envs=4, seed=seed)
    settings: dict[str, Any] = {"n_steps": 64, "batch_size": 64, "n_epochs": 4, "learning_rate": 3e-3, "seed": seed}
    network = {"net_arch": [16], "log_std_init": -2.0}
    model = RPD(
        "MlpPolicy",
        env,
        teacher=aim_beside,
        imitation_coef=1000.0,
        label_debiasing=debiasing,
        policy_kwargs=network,
        **settings,
    )
    return model.learn(12_000)


def error(model: RPD) -> np.ndarray:
    observations = np.random.default_rng(0).uniform(-1, 1, (200, 2)).astype(np.float32)
    actions, _ = model.predict(observations, deterministic=True)
    return (actions - 0.1 * observations).mean(axis=0)


def test_a_teacher_that_is_always_beside_is_outgrown() -> None:
    # Without it the student errs as its teacher does
    np.testing.assert_allclose(error(train(None)), [0.5, -0.3], atol=0.1)

    debiasing = LabelDebiasing(step_size=0.05, gain_step_size=0.0, start=0.0)
    np.testing.assert_allclose(error(train(debiasing)), [0.0, 0.0], atol=0.1)
    assert debiasing.bias is not None
    np.testing.assert_allclose(debiasing.bias, [-0.5, 0.3], atol=0.15)


def small_model(**kwargs: Any) -> RPD:
    env = make_vec_env(Aim, n_envs=2, seed=0)
    return RPD("MlpPolicy", env, teacher=aim_beside, n_steps=16, batch_size=16, n_epochs=1, seed=0, **kwargs)


def test_the_offset_is_saved_and_goes_on(tmp_path: Path) -> None:
    model = small_model(label_debiasing=LabelDebiasing(start=0.0))
    model.learn(64)
    assert model.label_debiasing is not None
    bias = model.label_debiasing.bias
    assert bias is not None
    model.save(tmp_path / "student")

    loaded = RPD.load(tmp_path / "student", env=model.get_env(), teacher=aim_beside)
    assert loaded.label_debiasing is not None
    np.testing.assert_array_equal(loaded.label_debiasing.bias, bias)
    loaded.learn(32, reset_num_timesteps=False)
    # one step of an offset that was not forgotten
    assert loaded.label_debiasing.bias is not None
    assert not np.array_equal(loaded.label_debiasing.bias, bias)
    replaced = RPD.load(tmp_path / "student", env=model.get_env(), teacher=aim_beside, label_debiasing=None)
    assert replaced.label_debiasing is None


def test_a_new_training_begins_without_an_offset() -> None:
    fresh, used = LabelDebiasing(start=0.0), LabelDebiasing(start=0.0)
    used.bias = used.gain = np.array([7.0, 7.0])
    for debiasing in (fresh, used):
        small_model(label_debiasing=debiasing).learn(32)
    assert fresh.bias is not None
    np.testing.assert_array_equal((used.bias, used.gain), (fresh.bias, fresh.gain))


def test_the_correction_is_in_the_log() -> None:
    model = small_model(label_debiasing=LabelDebiasing(start=0.0))
    model.learn(32, log_interval=10_000)
    recorded = model.logger.name_to_value
    assert model.label_debiasing is not None
    for name, correction in (("teacher_bias", model.label_debiasing.bias), ("teacher_gain", model.label_debiasing.gain)):
        assert correction is not None
        assert correction.all()
        assert recorded[f"train/{name}"] == pytest.approx(float(np.sqrt((correction**2).sum())))
        assert [recorded[f"{name}/0"], recorded[f"{name}/1"]] == pytest.approx(correction.tolist())


def test_discrete_actions_are_refused_before_training() -> None:
    with pytest.raises(ValueError, match="LabelDebiasing moves the mean of a Gaussian policy"):
        RPD("MlpPolicy", "CartPole-v1", label_debiasing=LabelDebiasing())

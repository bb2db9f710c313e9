"""Finite-horizon GAE: against its definition, a weighted mean of n-step estimates, and in a training."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, DICT_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.finite_horizon import FiniteHorizonDictRolloutBuffer, FiniteHorizonRolloutBuffer

BOX = ACTION_SPACES["box"]


def filled(kind: type[RolloutBuffer], n_steps: int, n_envs: int, seed: int, **kwargs: Any) -> tuple[RolloutBuffer, Any, Any]:
    """A buffer with random rewards, values and ends of episodes; the values after it, and whether it ends with episodes."""
    rng = np.random.default_rng(seed)
    buffer = kind(n_steps, spaces.Box(-1, 1, (1,)), BOX, device="cpu", n_envs=n_envs, **kwargs)
    buffer.reset()
    for _ in range(n_steps):
        rewards, starts = rng.normal(size=n_envs), rng.random(n_envs) < 0.3
        values, log_probs = th.tensor(rng.normal(size=(n_envs, 1))), th.zeros(n_envs)
        buffer.add(np.zeros((n_envs, 1)), np.zeros((n_envs, 2)), rewards, starts, values, log_probs)
    return buffer, th.tensor(rng.normal(size=(n_envs, 1)), dtype=th.float32), rng.random(n_envs) < 0.5


def advantage(buffer: RolloutBuffer, step: int, env: int, last_value: float, done: bool) -> float:
    """By the definition, in float64."""
    estimates, discounted = [], 0.0
    for n in range(1, buffer.buffer_size - step + 1):
        discounted += buffer.gamma ** (n - 1) * float(buffer.rewards[step + n - 1, env])
        is_last = step + n == buffer.buffer_size
        ends = done if is_last else bool(buffer.episode_starts[step + n, env])
        value = last_value if is_last else float(buffer.values[step + n, env])
        estimates.append(discounted + (0.0 if ends else buffer.gamma**n * value))
        if ends:
            break
    weights = buffer.gae_lambda ** np.arange(len(estimates))
    return float(weights @ estimates / weights.sum()) - float(buffer.values[step, env])


@settings(deadline=None, max_examples=40)
@given(
    n_steps=st.integers(1, 7),
    n_envs=st.integers(1, 3),
    gamma=st.floats(0.0, 1.0),
    gae_lambda=st.floats(0.0, 1.0),
    seed=st.integers(0, 1000),
)
def test_it_is_the_weighted_mean_of_n_step_estimates(
    n_steps: int, n_envs: int, gamma: float, gae_lambda: float, seed: int
) -> None:
    buffer, last, dones = filled(FiniteHorizonRolloutBuffer, n_steps, n_envs, seed, gamma=gamma, gae_lambda=gae_lambda)
    buffer.compute_returns_and_advantage(last, dones)
    expected = [
        [advantage(buffer, step, env, float(last[env, 0]), bool(dones[env])) for env in range(n_envs)]
        for step in range(n_steps)
    ]
    np.testing.assert_allclose(buffer.advantages, expected, atol=1e-5)
    np.testing.assert_allclose(buffer.returns, np.array(expected) + buffer.values, atol=1e-5)


def test_with_lambda_0_it_is_plain_gae_and_with_another_it_is_not() -> None:
    for gae_lambda, same in ((0.0, True), (0.9, False)):
        results = []
        for kind in (RolloutBuffer, FiniteHorizonRolloutBuffer):
            buffer, last, dones = filled(kind, 6, 2, 1, gamma=0.8, gae_lambda=gae_lambda)
            buffer.compute_returns_and_advantage(last, dones)
            results.append(buffer.advantages)
        assert np.allclose(*results, atol=1e-6) == same


@pytest.mark.parametrize("kind", [FiniteHorizonRolloutBuffer, FiniteHorizonDictRolloutBuffer])
def test_a_student_is_trained_on_them_and_its_labels_follow(kind: type[RolloutBuffer], tmp_path: Any) -> None:
    space = DICT_SPACE if kind is FiniteHorizonDictRolloutBuffer else None
    env = make_vec_env(lambda: SpacesEnv(BOX, space), 2, seed=0)
    policy = "MlpPolicy" if space is None else "MultiInputPolicy"
    kwargs: dict[str, Any] = dict(rollout_buffer_class=kind, n_steps=8, batch_size=8, n_epochs=1, seed=0, device="cpu")
    model = RPD(policy, env, teacher=scripted_teacher(BOX), **kwargs).learn(16)
    assert model.training_path().startswith("plain path: its rollout buffer is of a class of its own")
    collected, by_ppo = model.rollout_buffer, PPO(policy, env, **kwargs).learn(16).rollout_buffer
    assert collected.labeled_fraction() == 1.0
    assert type(by_ppo) is kind
    np.testing.assert_allclose(np.sort(collected.advantages, axis=0), np.sort(by_ppo.advantages, axis=0), atol=1e-6)
    model.save(tmp_path / "student")
    assert PPO.load(tmp_path / "student", device="cpu").rollout_buffer_class is kind

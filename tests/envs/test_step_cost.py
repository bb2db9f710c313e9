"""A dense reward as a cost of each step: success is the best, for any rewards, discount and time limit (envs/step_cost.py)."""

import warnings
from fractions import Fraction
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_rpd.envs import StepCostWrapper


class Scripted(gym.Env):
    """Pays rewards from a list; action 1 succeeds, which pays ``success_reward`` and ends the episode; action 2 fails."""

    observation_space = spaces.Box(0, 1, (1,), np.float32)
    action_space = spaces.Discrete(3)

    def __init__(self, rewards: list[float], success_reward: float) -> None:
        self.rewards, self.success_reward, self.elapsed = rewards, success_reward, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.elapsed = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = self.success_reward if action == 1 else self.rewards[self.elapsed]
        self.elapsed += 1
        return np.zeros(1, np.float32), reward, action > 0, self.elapsed == len(self.rewards), {"is_success": action == 1}


def rewards_of(env: gym.Env, success_at: int | None, steps: int) -> list[Fraction]:
    """The rewards of an episode that waits, succeeding at a step if at all; floats are fractions, exactly."""
    env.reset()
    rewards = []
    for k in range(steps):
        _, reward, terminated, truncated, _ = env.step(int(k == success_at))
        rewards.append(Fraction(float(reward)))
        if terminated or truncated:
            break
    return rewards


def value(rewards: list[Fraction], gamma: Fraction) -> Fraction:
    return sum((gamma**k * reward for k, reward in enumerate(rewards)), Fraction(0))


bounds = st.integers(-50, 50).map(float)
gammas = st.fractions(Fraction(1, 1000), 1)


@given(st.data(), bounds, gammas)
def test_succeeding_is_worth_at_least_what_anything_else_is(data: st.DataObject, bound: float, gamma: Fraction) -> None:
    rewards = data.draw(st.lists(st.floats(bound - 100, bound), min_size=1, max_size=12))
    # less than the bound, too: an environment may pay for success no more than for any other state
    env = StepCostWrapper(Scripted(rewards, data.draw(st.floats(bound - 100, bound + 100))), bound)
    never = rewards_of(env, None, len(rewards))
    bootstrapped = value([*never, Fraction(data.draw(st.floats(-1e3, 0)))], gamma)  # SB3 goes on where time is up
    for k in range(len(rewards)):
        succeeding = value(rewards_of(env, k, len(rewards)), gamma)
        assert succeeding >= value(never, gamma) >= bootstrapped
        # and from there on, whatever came before
        assert value(rewards_of(env, k, len(rewards))[k:], gamma) >= 0 >= value(never[k:], gamma)


@given(st.lists(st.floats(0, 0.99), min_size=2, max_size=12), gammas)
def test_sooner_is_better_where_each_step_costs(rewards: list[float], gamma: Fraction) -> None:
    env = StepCostWrapper(Scripted(rewards, 1.0), 1.0)
    values = [value(rewards_of(env, k, len(rewards)), gamma) for k in range(len(rewards))]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    assert values[-1] > value(rewards_of(env, None, len(rewards)), gamma)


def test_by_hand_and_what_it_mends() -> None:
    bare, gamma = Scripted([0.5, 0.75, 0.75, 0.75], 1.0), Fraction(9, 10)
    env = StepCostWrapper(bare, 1.0)
    assert rewards_of(env, 2, 4) == [-0.5, -0.25, 0]
    assert rewards_of(env, None, 4) == [-0.5, -0.25, -0.25, -0.25]
    assert value(rewards_of(bare, None, 4), gamma) > value(rewards_of(bare, 2, 4), gamma)  # hovering pays without it
    # what exceeds the bound on success is kept, so that a bonus for it is not lost
    assert rewards_of(StepCostWrapper(Scripted([0.5, 0.5], 3.0), 1.0), 1, 2) == [-0.5, 2]


def test_any_key_says_success() -> None:
    class Elsewhere(gym.Wrapper):
        def step(self, action: Any) -> Any:
            *result, info = self.env.step(action)
            return *result, {"success": float(info["is_success"])}

    bare = Elsewhere(Scripted([0.5, 0.5], 1.0))
    assert rewards_of(StepCostWrapper(bare, 1.0, success_key="success"), 1, 2) == [-0.5, 0]
    with pytest.raises(ValueError, match=r"without success \(info has no 'is_success'\).*success_key"):
        rewards_of(StepCostWrapper(bare, 1.0), 1, 2)


def test_an_episode_that_fails_needs_its_price() -> None:
    env = StepCostWrapper(Scripted([0.5, 0.5], 1.0), 1.0)
    env.reset()
    with pytest.raises(ValueError, match=r"\(info\['is_success'\] is false\).*failure_reward"):
        env.step(2)
    env = StepCostWrapper(Scripted([0.5, 0.5], 1.0), 1.0, failure_reward=-7.0)
    env.reset()
    assert env.step(2)[1] == -7.0


def test_a_reward_above_its_bound_is_said_once_and_cut() -> None:
    env = StepCostWrapper(Scripted([0.5, 1.5, 1.25], 1.0), 1.0)
    with pytest.warns(UserWarning, match=r"paid 1\.5, more than StepCostWrapper's max_reward=1\."):
        assert rewards_of(env, None, 3) == [-0.5, 0, 0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rewards_of(env, None, 3)
        rewards_of(StepCostWrapper(Scripted([0.1 + 0.2], 1.0), 0.3), None, 1)  # rounding is not worth a word


def test_normalized_rewards_keep_their_zero() -> None:
    venv = VecNormalize(DummyVecEnv([lambda: StepCostWrapper(Scripted([0.5, 0.75, 0.25, 0.5], 1.0), 1.0)]), norm_obs=False)
    venv.reset()
    waiting = [float(venv.step([0])[1][0]) for _ in range(3)]
    success = float(venv.step([1])[1][0])
    assert max(waiting) < 0 == success

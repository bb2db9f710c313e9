"""The warning that success is unlearned while the return rises: heard where it should be, and only there."""

import re
import warnings
from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from sb3_rpd import RPD
from sb3_rpd.common.misleading_reward import MisleadingRewardCallback, MisleadingRewardWatch
from sb3_rpd.envs import StepCostWrapper


class Corridor(gym.Env):
    """
    Five steps lead to the goal, where the episode ends; each step pays where it leads to: 0, 0.2, 0.4, 0.6, 0.8, the goal 1.

    Whoever walks straight on earns 0.2 + 0.4 + 0.6 + 0.8 + 1 = 3; whoever stands before the goal until the 25 steps are
    over 2 + 21 * 0.8 = 18.8.
    """

    observation_space = spaces.Box(0, 1, (5,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.place = self.elapsed = 0

    def observe(self) -> np.ndarray:
        return (np.arange(5) == self.place).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place = self.elapsed = 0
        return self.observe(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place += int(action)
        self.elapsed += 1
        is_success = self.place == 5
        return self.observe(), self.place / 5, is_success, self.elapsed == 25, {"is_success": is_success}


def corridor_with_costs() -> gym.Env:
    return StepCostWrapper(Corridor(), max_reward=1.0)


SETTINGS: dict[str, Any] = dict(n_steps=128, batch_size=128, n_epochs=10, learning_rate=3e-3, device="cpu")


def warnings_of(make_env: Any, algorithm: str, seed: int) -> tuple[list[str], float]:
    """Train for some seconds: what was warned of, and the success rate at the end."""
    env = make_vec_env(make_env, 4, seed=seed)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if algorithm == "PPO":
            model = PPO("MlpPolicy", env, seed=seed, **SETTINGS)
            model.learn(10_240, callback=MisleadingRewardCallback())
        else:
            # the teacher walks on; with so small a coefficient the reward decides
            model = RPD(
                "MlpPolicy", env, seed=seed, teacher=lambda obs: np.ones(len(obs), int), imitation_coef=1e-4, **SETTINGS
            )
            model.learn(10_240)
    assert model.ep_success_buffer is not None
    return [str(one.message) for one in caught], float(np.mean(model.ep_success_buffer))


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["PPO", "RPD"])
def test_training_on_a_reward_that_misleads_is_warned_of_once(algorithm: str) -> None:
    messages, success = warnings_of(Corridor, algorithm, seed=0)
    assert success < 0.2
    (message,) = messages
    before, after = re.findall(r"(\d+)% success and a mean return of ([\d.]*\d)|last 100 had (\d+)% and ([\d.]*\d)", message)
    assert int(before[0]) > int(after[2])
    assert float(before[1]) < float(after[3])
    for cure in ("sb3_rpd.envs.StepCostWrapper", 'reward="dense"', "lower gamma"):
        assert cure in message


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", ["PPO", "RPD"])
def test_training_on_a_reward_that_does_not_is_silent(algorithm: str) -> None:
    messages, success = warnings_of(corridor_with_costs, algorithm, seed=0)
    assert success > 0.95
    assert messages == []


class Buffers:
    """SB3's buffers of the last 100 episodes, filled with a series."""

    def __init__(self, watch: MisleadingRewardWatch) -> None:
        self.watch = watch
        self.episodes: deque[dict[str, float]] = deque(maxlen=100)
        self.successes: deque[bool] = deque(maxlen=100)

    def feed(self, returns: Any, successes: Any, at_once: int = 7) -> bool:
        """:return: Whether it is warned, with so many episodes an iteration."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for first in range(0, len(returns), at_once):
                self.episodes.extend({"r": float(value)} for value in returns[first : first + at_once])
                self.successes.extend(bool(value) for value in successes[first : first + at_once])
                self.watch.update(self.episodes, self.successes)
                self.watch.update(self.episodes, self.successes)  # nothing new
        assert len(caught) == int(self.watch.has_warned)
        return self.watch.has_warned


def series(rng: np.random.Generator, rates: np.ndarray, of_success: float, of_failure: float) -> tuple[np.ndarray, np.ndarray]:
    """Episodes that succeed at these rates; the return depends on that, and is noisy."""
    successes = rng.random(len(rates)) < rates
    return np.where(successes, of_success, of_failure) + rng.normal(0, 1, len(rates)), successes


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("at_once", [1, 13, 100])
def test_synthetic_fall_of_success(seed: int, at_once: int) -> None:
    rng = np.random.default_rng(seed)
    rates = np.concatenate([np.linspace(0, 0.7, 400), np.linspace(0.7, 0.1, 600)])
    assert Buffers(MisleadingRewardWatch()).feed(*series(rng, rates, of_success=5, of_failure=20), at_once)
    assert not Buffers(MisleadingRewardWatch()).feed(*series(rng, rates, of_success=20, of_failure=5), at_once)


#: Success rate and mean return in LiftCube with ManiSkill2's own dense reward and gamma 0.99, read off the log of a real
#: training every 3,200 steps: success is found and unlearned while the return climbs slowly.
LIFT_CUBE_RATES = (0, 0, 0, 0, 0, 0, 0, 0.02, 0.5, 0.67, 0.46, 0.23, 0.13, 0.2)
LIFT_CUBE_RETURNS = (21.8, 28, 30.9, 33.2, 34, 33.8, 35.1, 34.8, 36.1, 37.2, 36.6, 36.5, 37.0, 37.5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("deviation", [1.0, 5.0])
def test_slow_rise_while_success_is_unlearned(seed: int, deviation: float) -> None:
    rng = np.random.default_rng(seed)
    successes = rng.random(1400) < np.repeat(LIFT_CUBE_RATES, 100)
    returns = np.repeat(LIFT_CUBE_RETURNS, 100) + rng.normal(0, deviation, 1400)
    watch = MisleadingRewardWatch()
    assert not Buffers(watch).feed(returns[:1000], successes[:1000])  # up to the peak of success
    assert Buffers(watch).feed(returns[1000:], successes[1000:])


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("rate", [0.03, 0.5, 0.9])
def test_noise_is_silent(seed: int, rate: float) -> None:
    """The worst case: each success that chance takes away raises the return."""
    rng = np.random.default_rng(seed)
    assert not Buffers(MisleadingRewardWatch()).feed(*series(rng, np.full(10_000, rate), of_success=5, of_failure=20), 100)


def test_rate_of_false_alarms_is_below_alpha() -> None:
    alarms = sum(
        Buffers(MisleadingRewardWatch(alpha=0.2)).feed(
            *series(np.random.default_rng(seed), np.full(1_000, 0.5), of_success=0, of_failure=10), 100
        )
        for seed in range(200)
    )
    assert 0 < alarms < 0.2 * 200  # it can be triggered by chance at all


def test_by_hand() -> None:
    """Two blocks of four: success from 4 to 0 of 4 is 1 > 2.576 * sqrt(2 * 0.25 / 4) = 0.91 where alpha / 2 = 0.005."""
    for last, warned in (([0, 0, 0, 0], True), ([1, 0, 0, 0], False)):
        watch = MisleadingRewardWatch(block_size=4, alpha=0.01)
        assert Buffers(watch).feed([1, 1, 1, 1, 2, 2, 2, 2], [1, 1, 1, 1, *last], at_once=1) == warned
    # the return has to rise beyond chance, too: by 1, with a standard error of sqrt(2 * 4 / 3 / 4) = 0.82
    noisy = [0, 0, 2, 2, 1, 1, 3, 3]
    assert not Buffers(MisleadingRewardWatch(block_size=4, alpha=0.01)).feed(noisy, [1] * 4 + [0] * 4, at_once=1)


def test_return_may_have_risen_before() -> None:
    """The return rises from 0 to 2 and stays there, in a block of its own, while success falls: whether it stays decides."""
    for last_return, warned in ((2.0, True), (2.1, True), (1.9, False)):
        watch = MisleadingRewardWatch(block_size=4, alpha=0.2)
        returns = [0.0] * 4 + [2.0] * 4 + [last_return] * 4
        assert Buffers(watch).feed(returns, [0] * 4 + [1] * 4 + [0] * 4, at_once=1) == warned


def test_success_that_is_not_known_of_each_episode_is_left_alone() -> None:
    watch = MisleadingRewardWatch(block_size=2)
    watch.update([{"r": 1.0}, {"r": 1.0}], [True])
    watch.update(None, None)
    watch.update([{"r": 9.0}] * 4, [])
    assert not watch.has_warned


@given(st.lists(st.integers(1, 40), max_size=20))
def test_each_episode_counts_once_however_they_come(portions: list[int]) -> None:
    watch = MisleadingRewardWatch(block_size=5)
    buffers = Buffers(watch)
    count = 0
    for portion in portions:
        buffers.feed(range(count, count + portion), [True] * portion, at_once=portion)
        count += portion
    # returns 0, 1, 2, ... in blocks of five: their means are 2, 7, 12, ...
    assert [block.mean_return for block in watch._blocks] == [5 * k + 2 for k in range(count // 5)]
    assert [value for value, _ in watch._episodes] == list(range(count // 5 * 5, count))

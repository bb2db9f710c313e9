"""evaluate_teacher in environments whose successes, returns and lengths can be counted by hand."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.evaluation import Episode, TeacherEvaluation
from sb3_rpd.teachers import FunctionTeacher, evaluate_teacher


class GuessEnv(gym.Env):
    """
    The state is a random sign, drawn anew in each step. Whoever acts with the same sign gets a reward of 1, and
    an episode is a success if that is so in its last step.
    """

    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Box(-1, 1, (1,))

    def __init__(self, length: int = 2, success_key: str = "is_success") -> None:
        self.length = length
        self.success_key = success_key

    def _observe(self) -> np.ndarray:
        self.sign = float(self.np_random.choice([-1, 1]))
        return np.array([self.sign], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observe(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        right = bool(action[0] == self.sign)
        return self._observe(), float(right), False, self.steps == self.length, {self.success_key: right}


def sign(env: gym.Env) -> np.ndarray:
    return np.array([env.unwrapped.sign])


def copy_observation(observations: np.ndarray) -> np.ndarray:
    return observations


def test_perfect_teacher_in_one_environment() -> None:
    result = evaluate_teacher(copy_observation, GuessEnv(length=3), 20)
    assert (result.episodes, result.successes, result.success_rate) == (20, 20, 1.0)
    assert (result.mean_return, result.mean_length) == (3.0, 3.0)
    # Wilson's lower end for 20 of 20 is 20 / (20 + 1.96^2)
    assert result.success_interval == (pytest.approx(20 / (20 + 1.959964**2)), 1.0)


def test_network_that_tracks_gradients_is_asked_without_them() -> None:
    layer = th.nn.Linear(1, 1, bias=False)
    th.nn.init.ones_(layer.weight)
    assert evaluate_teacher(lambda observations: layer(th.from_numpy(observations)).numpy(), GuessEnv(), 5).success_rate == 1.0


def test_guessing_teacher_succeeds_in_half_of_the_episodes() -> None:
    result = evaluate_teacher(lambda observations: np.ones_like(observations), GuessEnv(), 400)
    assert result.success_rate == pytest.approx(0.5, abs=5 * 0.5 / np.sqrt(400))
    assert result.mean_return == pytest.approx(1.0, abs=5 * np.sqrt(0.5 / 400))
    assert result.mean_length == 2


def test_seed_decides_the_episodes() -> None:
    def rate(seed: int | None, env: gym.Env) -> int:
        return evaluate_teacher(lambda observations: np.ones_like(observations), env, 64, seed=seed).successes

    env = GuessEnv()
    assert rate(1, env) == rate(1, env) == rate(1, GuessEnv())
    assert len({rate(seed, env) for seed in range(8)}) > 1
    assert len({rate(None, env) for _ in range(8)}) > 1


def test_short_episodes_count_no_more_than_long_ones() -> None:
    envs = DummyVecEnv([lambda: GuessEnv(length=1), lambda: GuessEnv(length=9)])
    result = evaluate_teacher(copy_observation, envs, 8)
    assert (result.successes, result.mean_length, result.mean_return) == (8, 5.0, 5.0)
    # an odd number: one more for the last environment
    assert evaluate_teacher(copy_observation, envs, 3).mean_length == pytest.approx((1 + 9 + 9) / 3)


def test_student_wrappers_take_no_part() -> None:
    envs = DummyVecEnv([GuessEnv, GuessEnv])
    normalize = VecNormalize(VecFrameStack(envs, 4))
    result = evaluate_teacher(copy_observation, normalize, 10)
    assert (result.successes, result.mean_return) == (10, 2.0)
    assert normalize.obs_rms.count == pytest.approx(1e-4)


def test_teacher_sees_what_the_wrapper_offers() -> None:
    asked: list[Any] = []

    def answer(observations: dict[str, np.ndarray], instructions: list[str]) -> np.ndarray:
        asked.append((sorted(observations), instructions))
        return observations["sign"]

    def make() -> gym.Env:
        return TeacherActionWrapper(GuessEnv(), observation={"sign": sign}, instruction="guess")

    assert evaluate_teacher(FunctionTeacher(answer), DummyVecEnv([make, make]), 6).successes == 6
    assert asked[0] == (["sign"], ["guess", "guess"])


def test_controller_in_the_environment_acts_instead_of_the_teacher() -> None:
    env = TeacherActionWrapper(GuessEnv(), controller=lambda env: -sign(env))
    result = evaluate_teacher(copy_observation, env, 5)
    assert (result.successes, result.mean_return) == (0, 0.0)


def test_discrete_actions() -> None:
    class Cart(gym.Wrapper):
        def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
            observation, reward, terminated, truncated, info = self.env.step(action)
            return observation, reward, terminated, truncated, {**info, "is_success": truncated}

    # balances the pole by itself
    result = evaluate_teacher(
        lambda x: (x[:, 2] + 0.3 * x[:, 3] + 0.05 * x[:, 1] > 0).astype(int), Cart(gym.make("CartPole-v1")), 3
    )
    assert (result.successes, result.mean_return, result.mean_length) == (3, 500.0, 500.0)


def test_environment_that_never_says_success() -> None:
    with pytest.raises(ValueError, match=r'info\["is_success"\].*solved'):
        evaluate_teacher(copy_observation, GuessEnv(success_key="solved"), 1)


def test_returns_count_where_success_is_unknown() -> None:
    seen: list[Episode] = []
    env = GuessEnv(length=3, success_key="solved")
    result = evaluate_teacher(copy_observation, env, 2, needs_success=False, on_episode=seen.append)
    assert result == TeacherEvaluation(episodes=2, successes=None, mean_return=3.0, mean_length=3.0)
    assert seen == [Episode(3.0, 3, None)] * 2
    assert np.isnan([result.success_rate, *result.success_interval]).all()


def test_each_episode_that_counts_is_told_as_it_ends() -> None:
    seen: list[Episode] = []
    envs = DummyVecEnv([lambda: GuessEnv(length=1), lambda: GuessEnv(length=3)])
    evaluate_teacher(copy_observation, envs, 4, on_episode=seen.append)
    assert seen == [Episode(1.0, 1, True), Episode(1.0, 1, True), Episode(3.0, 3, True), Episode(3.0, 3, True)]


def test_unusable_answers() -> None:
    with pytest.raises(TeacherError, match="cannot act alone: 1 of 1 answers have NaN"):
        evaluate_teacher(lambda observations: np.full_like(observations, np.nan), GuessEnv(), 1)
    with pytest.raises(TeacherError, match="shape"):
        evaluate_teacher(lambda observations: np.zeros(3), GuessEnv(), 1)
    with pytest.raises(ValueError, match="at least one episode"):
        evaluate_teacher(copy_observation, GuessEnv(), 0)

"""When the rewards of a rollout tell one action from another."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd.common.reward_signal import RewardSignal

BOX = ACTION_SPACES["box"]
RUNNING: tuple[bool, dict] = (False, {})
TERMINATED: tuple[bool, dict] = (True, {"TimeLimit.truncated": False})
TRUNCATED: tuple[bool, dict] = (True, {"TimeLimit.truncated": True})


def signal_of(steps: list[tuple[list[float], list[tuple[bool, dict]]]]) -> RewardSignal:
    signal = RewardSignal(DummyVecEnv([lambda: SpacesEnv(BOX)] * 2))
    for rewards, ends in steps:
        signal.add(np.array(rewards, np.float32), np.array([done for done, _ in ends]), [info for _, info in ends])
    return signal


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([], False, id="nothing seen"),
        pytest.param([([0.0, 0.0], [TERMINATED, RUNNING])] * 3, False, id="no reward, whatever ends"),
        pytest.param([([-1.0, -1.0], [TRUNCATED, RUNNING])] * 3, False, id="a cost for each step, until the time limit"),
        pytest.param([([1.0, 1.0], [RUNNING, TERMINATED])], True, id="a reward for each step that is survived"),
        pytest.param([([1.0, 1.0], [RUNNING, TERMINATED]), ([1.0, 1.0], [RUNNING] * 2)], True, id="and goes on"),
        pytest.param([([0.0, 1.0], [RUNNING] * 2)], True, id="different environments"),
        pytest.param([([0.0, 0.0], [RUNNING] * 2), ([1.0, 1.0], [RUNNING] * 2)], True, id="different steps"),
        pytest.param([([0.0, 1.0], [RUNNING] * 2), ([0.0, 0.0], [RUNNING] * 2)], True, id="once different"),
    ],
)
def test_it_is_there_where_returns_can_differ(steps: list, expected: bool) -> None:
    assert signal_of(steps).is_present == expected


class PaidBySteps(SpacesEnv):
    """Each step costs the same, and episodes end by the time limit alone."""

    def step(self, action: np.ndarray) -> tuple:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, -1.0, False, terminated or truncated, info


def test_normalized_rewards_are_looked_at_before_that() -> None:
    def make() -> gym.Env:
        return PaidBySteps(BOX)

    env = VecNormalize(DummyVecEnv([make, make]), norm_obs=False)
    env.reset()
    signal, seen = RewardSignal(env), set()
    for _ in range(9):
        _, rewards, dones, infos = env.step(np.stack([BOX.sample(), BOX.sample()]))
        seen |= set(rewards.tolist())
        signal.add(rewards, dones, infos)
    assert len(seen) > 1
    assert not signal.is_present

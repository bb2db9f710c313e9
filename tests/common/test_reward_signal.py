"""In how much of a rollout the rewards tell one action from another."""

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sb3_rpd.common.reward_signal import RewardSignal

Ends: TypeAlias = tuple[bool, dict]
RUNNING: Ends = (False, {})
TERMINATED: Ends = (True, {"TimeLimit.truncated": False})
TRUNCATED: Ends = (True, {"TimeLimit.truncated": True})


def signal_of(steps: list[tuple[list[float], list[Ends]]]) -> RewardSignal:
    signal = RewardSignal()
    for rewards, ends in steps:
        signal.add(np.array(rewards, np.float32), np.array([done for done, _ in ends]), [info for _, info in ends])
    return signal


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([], 1.0, id="nothing seen"),
        pytest.param([([0.0, 0.0], [TERMINATED, RUNNING])] * 3, 0.0, id="no reward, whatever ends"),
        pytest.param([([-1.0, -1.0], [TRUNCATED, RUNNING])] * 3, 0.0, id="a cost for each step, until the time limit"),
        # one environment's four steps are three episodes, the last of which goes on; the other's are one
        pytest.param(
            [([1.0, 1.0], [end, RUNNING]) for end in (RUNNING, TERMINATED, TERMINATED, RUNNING)],
            2 / 4,
            id="a reward for each step that is survived",
        ),
        pytest.param(
            [([0.0, 0.0], [RUNNING] * 2), ([1.0, 0.0], [TERMINATED, TRUNCATED]), ([0.0, 0.0], [RUNNING] * 2)],
            1 / 4,
            id="one success",
        ),
        pytest.param(
            [([-1.0, -1.0], [RUNNING] * 2)] * 3 + [([0.0, -1.0], [RUNNING] * 2)] * 2, 1 / 2, id="a goal in which one stays"
        ),
        pytest.param([([0.0, 0.0], [RUNNING, TERMINATED])], 0.0, id="a single step"),
        pytest.param([([0.0, 0.5], [RUNNING, TERMINATED])] * 2, 1.0, id="no reward is that of most steps"),
    ],
)
def test_it_is_the_share_of_episodes_with_a_reward_to_go_by(steps: list, expected: float) -> None:
    assert signal_of(steps).share() == pytest.approx(expected)


@given(
    rewards=hnp.arrays(np.float32, (6, 3), elements=st.floats(-5, 5, width=32), unique=True),
    dones=hnp.arrays(bool, (6, 3)),
)
def test_a_dense_reward_tells_in_all_episodes(rewards: np.ndarray, dones: np.ndarray) -> None:
    steps = [(list(row), [(bool(done), {}) for done in ends]) for row, ends in zip(rewards, dones, strict=True)]
    assert signal_of(steps).share() == 1.0
    assert signal_of(steps).rewarded().all()


@given(successes=hnp.arrays(bool, (8, 2)), dones=hnp.arrays(bool, (8, 2)), amount=st.sampled_from([1.0, -2.0, 1e-6]))
def test_it_is_what_counting_one_by_one_gives(successes: np.ndarray, dones: np.ndarray, amount: float) -> None:
    steps = [
        ([amount * one for one in paid], [(bool(done), {}) for done in ends])
        for paid, ends in zip(successes, dones, strict=True)
    ]
    assume(successes.sum() < 8)
    told, entries = [], np.zeros((8, 2), bool)
    for env in range(2):
        first = 0
        for step in range(8):
            if dones[step, env] or step == 7:
                episode = slice(first, step + 1)
                told.append(successes[episode, env].any())
                entries[episode, env] = told[-1]
                first = step + 1
    assert signal_of(steps).share() == pytest.approx(np.mean(told))
    np.testing.assert_array_equal(signal_of(steps).rewarded(), entries)


def test_it_keeps_no_view_of_what_an_environment_writes_over() -> None:
    signal, rewards, dones = RewardSignal(), np.zeros(1), np.zeros(1, bool)
    for reward, done in ((1.0, True), (0.0, False), (0.0, False)):
        rewards[:], dones[:] = reward, done
        signal.add(rewards, dones, [{}])
    assert signal.share() == 0.5

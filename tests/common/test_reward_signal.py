"""When the rewards of a rollout tell one action from another."""

import numpy as np
import pytest

from sb3_rpd.common.reward_signal import RewardSignal

RUNNING: tuple[bool, dict] = (False, {})
TERMINATED: tuple[bool, dict] = (True, {"TimeLimit.truncated": False})
TRUNCATED: tuple[bool, dict] = (True, {"TimeLimit.truncated": True})


def signal_of(steps: list[tuple[list[float], list[tuple[bool, dict]]]]) -> RewardSignal:
    signal = RewardSignal()
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

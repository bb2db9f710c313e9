"""Gates against numbers worked out by hand, through pickling and wrong arguments."""

import functools
import math
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.utils import LinearSchedule as SB3LinearSchedule
from toy_schedules import CountsDown, training

from sb3_rpd.common.gates import QDaggerGate, RewardTrendGate, SuccessGate
from sb3_rpd.common.schedules import CosineCoef, LinearCoef


@pytest.mark.parametrize(
    ("success_rate", "expected"), [(None, 2.0), (math.nan, 2.0), (0.0, 2.0), (0.089, 2.0), (0.09, 0.0), (1.0, 0.0)]
)
def test_success_gate_is_open_while_the_student_is_worse(success_rate, expected):
    assert SuccessGate(0.09, coef=2.0)(training(success_rate=success_rate)) == expected


def test_success_gate_opens_again():
    gate = SuccessGate(0.5)
    assert [gate(training(success_rate=rate)) for rate in (0.2, 0.6, 0.4)] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("mean_return", "expected"),
    [(None, 2.0), (math.nan, 2.0), (-5.0, 2.0), (0.0, 2.0), (2.0, 1.5), (6.0, 0.5), (8.0, 0.0), (80.0, 0.0)],
)
def test_qdagger_gate_is_one_minus_the_ratio_of_returns(mean_return, expected):
    assert QDaggerGate(8.0, coef=2.0)(training(mean_return=mean_return)) == pytest.approx(expected)


def shut_at(gate, returns):
    """:return: The first iteration in which the gate is shut, None if it never is."""
    coefs = [gate(training(mean_return=value)) for value in returns]
    assert set(coefs) <= {0.0, 1.0}
    assert sorted(coefs, reverse=True) == coefs, "a gate that has shut stays shut"
    return coefs.index(0.0) if 0.0 in coefs else None


@pytest.mark.parametrize(
    ("returns", "expected"),
    [
        # the window of 3 is full in iteration 2, and flat for the third time in iteration 4
        ([5.0] * 10, 4),
        ([0.1] * 10, 4),
        # rising until iteration 5; slopes of the windows that end in 6, 7, 8: 0.5, 0, 0 and so on
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0], 9),
        # falling counts as not rising
        ([3.0, 2.0, 1.0, 0.0, -1.0, 9.0, 99.0], 4),
        # one rising window in between (the one that ends in iteration 4) starts the count anew
        ([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0], 8),
        # unknown returns do not count
        ([None, 5.0, None, 5.0, 5.0, math.nan, None, 5.0, 5.0, 5.0], 8),
        ([None] * 30, None),
        (range(30), None),
    ],
)
def test_reward_trend_gate_shuts_after_patience_windows_without_a_rise(returns, expected):
    assert shut_at(RewardTrendGate(window=3, patience=3), returns) == expected


def test_reward_trend_gate_takes_the_least_squares_slope():
    returns = np.random.default_rng(0).normal(size=8).cumsum()
    slope = np.polyfit(np.arange(8), returns, 1)[0]
    assert shut_at(RewardTrendGate(window=8, patience=1, threshold=slope - 1e-9), returns) is None
    assert shut_at(RewardTrendGate(window=8, patience=1, threshold=slope + 1e-9), returns) == 7


@settings(deadline=None, max_examples=100)
@given(value=st.floats(-1e9, 1e9), window=st.integers(2, 40))
def test_a_flat_return_of_any_size_does_not_count_as_rising(value, window):
    assert shut_at(RewardTrendGate(window=window, patience=1), [value] * window) == window - 1


@pytest.mark.parametrize(
    ("make_gate", "factor"),
    [
        (functools.partial(SuccessGate, 0.5), 1.0),
        (functools.partial(QDaggerGate, 2.0), 0.5),
        (RewardTrendGate, 1.0),
    ],
)
def test_gates_multiply_what_is_within(make_gate, factor):
    now = training(0.25, 500, success_rate=0.25, mean_return=1.0)
    assert make_gate(coef=1.0)(now) == factor
    assert make_gate(coef=CosineCoef(timesteps=1000))(now) == pytest.approx(0.5 * factor)
    assert make_gate(coef=SB3LinearSchedule(4.0, 0.0, 1.0))(now) == pytest.approx(1.0 * factor)
    assert make_gate(coef=SuccessGate(0.05))(now) == 0.0


def test_the_schedule_within_is_asked_while_the_gate_is_shut():
    gate = SuccessGate(0.5, coef=CountsDown())
    assert [gate(training(success_rate=rate)) for rate in (0.0, 0.9, 0.0)] == [1.0, 0.0, pytest.approx(1 / 3)]


@settings(deadline=None, max_examples=100)
@given(
    history=st.lists(
        st.tuples(st.none() | st.floats(0, 1), st.none() | st.floats(-1e12, 1e12)),
        min_size=1,
        max_size=12,
    )
)
def test_gates_stay_within_zero_and_one_whatever_training_shows(history):
    for gate in (SuccessGate(0.3), QDaggerGate(1e-3), RewardTrendGate(window=2, patience=2)):
        for success_rate, mean_return in history:
            assert 0.0 <= gate(training(success_rate=success_rate, mean_return=mean_return)) <= 1.0


@pytest.mark.parametrize("gate", [SuccessGate(0.4, coef=LinearCoef()), QDaggerGate(4.0, coef=SuccessGate(0.4))], ids=repr)
def test_pickling(gate):
    restored = pickle.loads(pickle.dumps(gate))
    now = training(0.9, 3, success_rate=0.1, mean_return=1.0)
    assert restored == gate
    assert restored(now) == gate(now)


@pytest.mark.parametrize("saved_after", range(12))
def test_a_trend_gate_goes_on_where_it_was_saved(saved_after):
    returns = [0.0, 1.0, 2.0, 2.5, 2.5, 2.4, 2.4, 2.3, 9.0, 20.0, 30.0, 40.0]
    gate = RewardTrendGate(window=3, patience=3, coef=CountsDown())
    expected = [gate(training(mean_return=value)) for value in returns]
    assert expected.index(0.0) == 7

    gate = RewardTrendGate(window=3, patience=3, coef=CountsDown())
    actual = [gate(training(mean_return=value)) for value in returns[:saved_after]]
    gate = pickle.loads(pickle.dumps(gate))
    actual += [gate(training(mean_return=value)) for value in returns[saved_after:]]
    assert actual == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SuccessGate(0.0), r"teacher_success must be in \(0, 1\], not 0.0.*never succeeds"),
        (lambda: SuccessGate(60.0), r"teacher_success must be in \(0, 1\], not 60.0"),
        (lambda: SuccessGate(math.nan), r"teacher_success must be in \(0, 1\]"),
        (lambda: QDaggerGate(0.0), "teacher_return must be finite and > 0, not 0.0.*take SuccessGate or RewardTrendGate"),
        (lambda: QDaggerGate(-200.0), "teacher_return must be finite and > 0, not -200.0"),
        (lambda: QDaggerGate(math.inf), "teacher_return must be finite and > 0, not inf"),
        (lambda: RewardTrendGate(window=1), "window of at least 2 .*window=1, patience=20 will not do"),
        (lambda: RewardTrendGate(patience=0), "patience of at least 1.*patience=0"),
        (lambda: RewardTrendGate(threshold=math.nan), "threshold must be finite, not nan"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_coefficient_within_that_is_no_coefficient(value):
    with pytest.raises(ValueError, match="must be finite and >= 0"):
        QDaggerGate(1.0, coef=value)

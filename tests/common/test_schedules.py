"""Coefficient schedules and gates against numbers worked out by hand, through pickling and wrong arguments."""

import math
import pickle

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.utils import LinearSchedule as SB3LinearSchedule

from sb3_rpd.common.schedules import (
    CoefSchedule,
    ConstantCoef,
    CosineCoef,
    LinearCoef,
    ProgressCoef,
    QDaggerGate,
    RewardTrendGate,
    SuccessGate,
    TrainingProgress,
    make_coef_schedule,
)


def training(progress_remaining=1.0, num_timesteps=0, success_rate=None, mean_return=None):
    return TrainingProgress(progress_remaining, num_timesteps, success_rate, mean_return)


class CountsDown(CoefSchedule):
    """Keeps state: the number of its calls."""

    def __init__(self):
        self.calls = 0

    def __call__(self, training):
        self.calls += 1
        return 1.0 / self.calls


# ------------------------------------------------------------------ schedules


@pytest.mark.parametrize(
    ("schedule", "num_timesteps", "expected"),
    [
        (CosineCoef(timesteps=1000), 0, 1.0),
        (CosineCoef(timesteps=1000), 250, 0.5 + math.sqrt(0.125)),
        (CosineCoef(timesteps=1000), 500, 0.5),
        (CosineCoef(timesteps=1000), 1000, 0.0),
        (CosineCoef(timesteps=1000), 5000, 0.0),
        (CosineCoef(2.0, 0.5, timesteps=1000), 250, 0.5 + 1.5 * (0.5 + math.sqrt(0.125))),
        (LinearCoef(timesteps=1000), 250, 0.75),
        (LinearCoef(0.2, 1.0, timesteps=1000), 250, 0.4),
        (LinearCoef(0.2, 1.0, timesteps=1000), 4000, 1.0),
    ],
)
def test_annealing_over_environment_steps(schedule, num_timesteps, expected):
    # the number of steps counts, whatever part of this learn() call has passed
    for progress_remaining in (1.0, 0.3):
        assert schedule(training(progress_remaining, num_timesteps)) == pytest.approx(expected, abs=1e-12)


def test_cosine_is_the_authors_annealing():
    for step in range(0, 1000, 37):
        authors = 0.5 * np.cos(step * np.pi / 1000) + 0.5
        assert CosineCoef(timesteps=1000)(training(num_timesteps=step)) == pytest.approx(authors, abs=1e-12)


@pytest.mark.parametrize(
    ("schedule", "progress_remaining", "expected"),
    [
        (LinearCoef(), 1.0, 1.0),
        (LinearCoef(), 0.25, 0.25),
        (LinearCoef(), -0.01, 0.0),
        (LinearCoef(3.0, 1.0, end_fraction=0.5), 0.75, 2.0),
        (LinearCoef(3.0, 1.0, end_fraction=0.5), 0.4, 1.0),
        (CosineCoef(end_fraction=0.5), 0.75, 0.5),
        (CosineCoef(), 0.0, 0.0),
        (ConstantCoef(0.7), 0.3, 0.7),
    ],
)
def test_annealing_over_a_part_of_training(schedule, progress_remaining, expected):
    assert schedule(training(progress_remaining, num_timesteps=123)) == pytest.approx(expected, abs=1e-12)


@settings(deadline=None, max_examples=100)
@given(
    start=st.floats(0, 1e6),
    end=st.floats(0, 1e6),
    num_timesteps=st.integers(0, 10**9),
    timesteps=st.integers(1, 10**9),
    kind=st.sampled_from([LinearCoef, CosineCoef]),
)
def test_annealing_stays_between_its_ends(start, end, num_timesteps, timesteps, kind):
    value = kind(start, end, timesteps=timesteps)(training(num_timesteps=num_timesteps))
    assert min(start, end) * (1 - 1e-12) <= value <= max(start, end) * (1 + 1e-12)
    if num_timesteps >= timesteps:
        assert value == end


# ------------------------------------------------------------------ gates


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
    "make_gate", [lambda coef: SuccessGate(0.5, coef=coef), lambda coef: QDaggerGate(2.0, coef=coef), RewardTrendGate]
)
def test_gates_multiply_what_is_within(make_gate):
    def gate(coef):
        return make_gate(coef=coef) if make_gate is RewardTrendGate else make_gate(coef)

    # open to one half in the case of QDagger, entirely in the others
    now = training(0.25, 500, success_rate=0.1, mean_return=1.0)
    factor = gate(1.0)(now)
    assert factor in (0.5, 1.0)
    assert gate(CosineCoef(timesteps=1000))(now) == pytest.approx(0.5 * factor)
    assert gate(SB3LinearSchedule(4.0, 0.0, 1.0))(now) == pytest.approx(1.0 * factor)
    assert gate(SuccessGate(0.05))(now) == 0.0


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


# ------------------------------------------------------------------ pickling


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantCoef(0.5),
        LinearCoef(0.2, 1.0, timesteps=10),
        CosineCoef(end_fraction=0.3),
        ProgressCoef(FloatSchedule(0.4)),
        SuccessGate(0.4, coef=LinearCoef()),
        QDaggerGate(4.0, coef=SuccessGate(0.4)),
    ],
    ids=repr,
)
def test_pickling(schedule):
    restored = pickle.loads(pickle.dumps(schedule))
    now = training(0.9, 3, success_rate=0.1, mean_return=1.0)
    assert restored == schedule or isinstance(schedule, ProgressCoef)
    assert restored(now) == schedule(now)


def test_a_function_survives_the_pickling_that_sb3_uses():
    restored = cloudpickle.loads(cloudpickle.dumps(make_coef_schedule(lambda progress_remaining: progress_remaining**2)))
    assert restored(training(0.5)) == 0.25


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


# ------------------------------------------------------------------ what a user may give


@pytest.mark.parametrize("value", [0.25, np.float32(0.25), FloatSchedule(0.25), lambda _: 0.25, ConstantCoef(0.25)])
def test_what_can_be_a_coefficient(value):
    assert make_coef_schedule(value)(training(0.5)) == 0.25


def test_integers_and_sb3_schedules_and_schedules_of_ones_own():
    assert make_coef_schedule(1) == ConstantCoef(1.0)
    assert make_coef_schedule(SB3LinearSchedule(1.0, 0.0, 0.5))(training(0.75)) == pytest.approx(0.5)

    class WhileItFails(CoefSchedule):
        def __call__(self, training):
            return 1.0 if training.success_rate is None else 1.0 - training.success_rate

    own = WhileItFails()
    assert make_coef_schedule(own) is own
    assert own(training(success_rate=0.75)) == 0.25


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -1])
def test_a_coefficient_that_is_no_coefficient(value):
    with pytest.raises(ValueError, match="must be finite and >= 0"):
        make_coef_schedule(value)
    with pytest.raises(ValueError, match=r"<lambda>.*progress_remaining=1.0 must be finite and >= 0"):
        make_coef_schedule(lambda _: value)
    with pytest.raises(ValueError, match="LinearCoef's start must be finite and >= 0"):
        LinearCoef(value)
    with pytest.raises(ValueError, match="CosineCoef's end must be finite and >= 0"):
        CosineCoef(1.0, value)
    with pytest.raises(ValueError, match="must be finite and >= 0"):
        QDaggerGate(1.0, coef=value)


def test_a_function_that_goes_negative_later_is_found_when_it_does():
    schedule = make_coef_schedule(lambda progress_remaining: progress_remaining - 0.5)
    assert schedule(training(0.75)) == 0.25
    with pytest.raises(ValueError, match=r"progress_remaining=0.25 must be finite and >= 0, not -0.25"):
        schedule(training(0.25))


@pytest.mark.parametrize("value", ["1.0", None, [1.0], SuccessGate])
def test_what_cannot_be_a_coefficient(value):
    with pytest.raises(TypeError, match=r"number >= 0, a CoefSchedule such as .* or a function of progress_remaining, not"):
        make_coef_schedule(value)


@pytest.mark.parametrize(
    "function", [lambda: 1.0, lambda a, b: a, lambda _: None, lambda training: 1.0 / training.num_timesteps]
)
def test_a_function_of_something_else_is_told_what_it_gets(function):
    with pytest.raises(TypeError, match=r"must take progress_remaining.*return a number.*subclass CoefSchedule"):
        make_coef_schedule(function)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearCoef(timesteps=10, end_fraction=0.5), "LinearCoef ends after .*: give one of the two"),
        (lambda: CosineCoef(timesteps=0), "CosineCoef's timesteps must be finite and > 0, not 0"),
        (lambda: LinearCoef(timesteps=math.inf), "LinearCoef's timesteps must be finite and > 0, not inf"),
        (lambda: CosineCoef(end_fraction=0.0), r"end_fraction must be in \(0, 1\], not 0.0"),
        (lambda: CosineCoef(end_fraction=1.5), r"end_fraction must be in \(0, 1\], not 1.5"),
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

"""Coefficient schedules against numbers worked out by hand, through pickling and wrong arguments."""

import math
import pickle

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.utils import FloatSchedule
from stable_baselines3.common.utils import LinearSchedule as SB3LinearSchedule
from toy_schedules import training

from sb3_rpd.common.schedules import (
    CoefSchedule,
    ConstantCoef,
    CosineCoef,
    LinearCoef,
    ProgressCoef,
    make_coef_schedule,
)

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


# ------------------------------------------------------------------ pickling


@pytest.mark.parametrize(
    "schedule",
    [
        ConstantCoef(0.5),
        LinearCoef(0.2, 1.0, timesteps=10),
        CosineCoef(end_fraction=0.3),
        ProgressCoef(FloatSchedule(0.4)),
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
        make_coef_schedule(lambda _: value)(training())
    with pytest.raises(ValueError, match="LinearCoef's start must be finite and >= 0"):
        LinearCoef(value)
    with pytest.raises(ValueError, match="CosineCoef's end must be finite and >= 0"):
        CosineCoef(1.0, value)


def test_a_function_that_goes_negative_later_is_found_when_it_does():
    schedule = make_coef_schedule(lambda progress_remaining: progress_remaining - 0.5)
    assert schedule(training(0.75)) == 0.25
    with pytest.raises(ValueError, match=r"progress_remaining=0.25 must be finite and >= 0, not -0.25"):
        schedule(training(0.25))


@pytest.mark.parametrize("value", ["1.0", None, [1.0], LinearCoef])
def test_what_cannot_be_a_coefficient(value):
    with pytest.raises(TypeError, match=r"number >= 0, a CoefSchedule such as .* or a function of progress_remaining, not"):
        make_coef_schedule(value)


@pytest.mark.parametrize("function", [lambda: 1.0, lambda a, b: a])
def test_a_function_of_something_else_is_told_what_it_gets(function):
    with pytest.raises(TypeError, match=r"must take progress_remaining.*return a number.*subclass CoefSchedule"):
        make_coef_schedule(function)


@pytest.mark.parametrize("function", [lambda _: None, lambda _: [1.0], lambda training: 1.0 / training.num_timesteps])
def test_a_function_that_does_something_else_is_told_so_when_it_does(function):
    schedule = make_coef_schedule(function)
    with pytest.raises(TypeError, match=r"must take progress_remaining.*return a number.*subclass CoefSchedule"):
        schedule(training())


def test_a_function_without_a_signature_is_taken():
    assert make_coef_schedule(min)
    assert make_coef_schedule(math.sqrt)(training(0.25)) == 0.5


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearCoef(timesteps=10, end_fraction=0.5), "LinearCoef ends after .*: give one of the two"),
        (lambda: CosineCoef(timesteps=0), "CosineCoef's timesteps must be finite and > 0, not 0"),
        (lambda: LinearCoef(timesteps=math.inf), "LinearCoef's timesteps must be finite and > 0, not inf"),
        (lambda: CosineCoef(end_fraction=0.0), r"end_fraction must be in \(0, 1\], not 0.0"),
        (lambda: CosineCoef(end_fraction=1.5), r"end_fraction must be in \(0, 1\], not 1.5"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

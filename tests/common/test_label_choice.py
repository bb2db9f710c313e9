"""Which entries are chosen."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.label_choice import LabelChoice


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@given(every=st.integers(1, 9), n_envs=st.integers(1, 12), first=st.integers(0, 20))
def test_each_environment_once_in_every_k_steps_and_the_queries_spread_evenly(every: int, n_envs: int, first: int) -> None:
    choice = LabelChoice(every, 1.0, generator())
    chosen = np.stack([choice(step, n_envs) for step in range(first, first + every)])
    assert chosen.dtype == bool
    assert (chosen.sum(axis=0) == 1).all()
    per_step = chosen.sum(axis=1)
    assert per_step.max() - per_step.min() <= 1


def test_everything_is_chosen_by_default_and_nothing_drawn() -> None:
    own = generator()
    choice = LabelChoice(1, 1.0, own)
    assert choice(0, 3).tolist() == [True] * 3
    assert own.random() == generator().random()


def test_fraction_is_drawn_from_its_generator() -> None:
    choice = LabelChoice(1, 0.25, generator(7))
    chosen = np.stack([choice(step, 4) for step in range(2500)])
    np.testing.assert_array_equal(chosen, generator(7).random((2500, 4)) < 0.25)
    # Binomial with n = 10000 and p = 0.25: five standard deviations are 0.022
    assert abs(chosen.mean() - 0.25) < 0.022


@given(every=st.integers(1, 4), first=st.integers(0, 5), n_steps=st.integers(0, 6))
def test_what_is_said_ahead_is_what_is_said_then(every: int, first: int, n_steps: int) -> None:
    fraction = 0.4 if every == 1 else 1.0
    choice = LabelChoice(every, fraction, generator(3))
    for _ in range(2):
        ahead = choice.ahead(first, n_steps, 3)
        assert (ahead.dtype, ahead.shape) == (bool, (n_steps, 3))
    assert [row.tolist() for row in ahead] == [choice(first + step, 3).tolist() for step in range(n_steps)]


@pytest.mark.parametrize(("every", "fraction"), [(0, 1.0), (-1, 1.0), (2.5, 1.0), (1, 0.0), (1, -0.1), (1, 1.01), (2, 0.5)])
def test_what_makes_no_sense_is_refused(every: float, fraction: float) -> None:
    with pytest.raises(ValueError, match="label_"):
        LabelChoice(every, fraction, generator())

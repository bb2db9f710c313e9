"""Observations to try an exported student with: of its space, spread as the statistics say."""

from types import SimpleNamespace

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.errors import ExportError
from sb3_rpd.export.samples import sample_observations

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)
ENDS = st.tuples(st.floats(-100, 100, width=32), st.floats(0.5, 100, width=32))
SPACES = st.one_of(
    st.integers(1, 9).map(spaces.Discrete),
    st.lists(st.integers(1, 9), min_size=1, max_size=4).map(spaces.MultiDiscrete),
    st.integers(1, 9).map(spaces.MultiBinary),
    SHAPES.map(lambda shape: spaces.Box(0, 255, shape, np.uint8)),
    SHAPES.map(lambda shape: spaces.Box(-np.inf, np.inf, shape, np.float32)),
    st.tuples(ENDS, SHAPES).map(lambda drawn: spaces.Box(drawn[0][0], sum(drawn[0]), drawn[1], np.float32)),
)


@given(space=SPACES, n=st.integers(1, 9), seed=st.integers(0, 99))
def test_all_are_of_the_space(space: spaces.Space, n: int, seed: int) -> None:
    drawn = sample_observations(space, None, n, np.random.default_rng(seed))
    assert drawn.shape == (n, *(space.shape or ()))
    assert all(space.contains(one) for one in drawn)


def test_discrete_numbers_take_all_their_values() -> None:
    drawn = sample_observations(spaces.MultiDiscrete([2, 5]), None, 200, np.random.default_rng(0))
    assert [set(column) for column in drawn.T] == [{0, 1}, {0, 1, 2, 3, 4}]
    assert set(sample_observations(spaces.Discrete(3), None, 200, np.random.default_rng(0))) == {0, 1, 2}


def test_they_lie_about_the_mean_of_the_statistics_near_it_and_far_from_it() -> None:
    space, statistics = spaces.Box(-np.inf, np.inf, (500,), np.float64), SimpleNamespace(mean=7.0, var=4.0)
    drawn = sample_observations(space, statistics, 4, np.random.default_rng(0))
    # 500 numbers each, of a standard deviation of 2 times 0.3, 1, 3 and 30
    np.testing.assert_allclose((drawn - 7.0).std(axis=1), [0.6, 2.0, 6.0, 60.0], rtol=0.1)


def test_a_space_that_no_policy_takes_is_refused() -> None:
    with pytest.raises(ExportError, match="Observations of a Text space cannot be exported"):
        sample_observations(spaces.Text(3), None, 1, np.random.default_rng(0))

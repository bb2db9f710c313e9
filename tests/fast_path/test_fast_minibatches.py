"""How an epoch is cut, on numpy's own splitting."""

import numpy as np
import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.fast_path.minibatches import Minibatches

sizes = st.tuples(st.integers(1, 20), st.integers(1, 25))


def cut(array: np.ndarray, batch_size: int) -> list[np.ndarray]:
    return np.split(array, range(batch_size, len(array), batch_size))


@given(sizes=sizes, width=st.integers(1, 3))
def test_arithmetic_on_all_minibatches_is_that_on_each(sizes: tuple[int, int], width: int) -> None:
    n_rows, batch_size = sizes
    minibatches = Minibatches(n_rows, batch_size)
    rows = np.random.default_rng(n_rows).normal(size=(n_rows, width))
    parts = cut(rows[:, 0], batch_size)
    assert minibatches.sizes == [len(part) for part in parts]
    column = th.from_numpy(rows[:, 0].copy())
    means = minibatches.means(th.from_numpy(rows.T.copy()))
    assert means.shape == (width, len(parts))
    for of_column, values in zip(means, rows.T, strict=True):
        np.testing.assert_allclose(of_column, [part.mean() for part in cut(values, batch_size)], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(minibatches.sum(column), [part.sum() for part in parts], rtol=1e-12, atol=1e-12)
    # One result for each row, and one for each minibatch, of rows with a second axis
    centerd = minibatches.map(lambda group: group - group.mean(dim=1, keepdim=True), column)
    np.testing.assert_allclose(centerd, np.concatenate([part - part.mean() for part in parts]), rtol=1e-12, atol=1e-12)
    largest = minibatches.map(lambda group: group.amax(dim=(1, 2)), th.from_numpy(rows))
    assert largest.tolist() == [part.max() for part in cut(rows, batch_size)]


@pytest.mark.parametrize(
    ("n_rows", "batch_size", "expected"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 3, [2]), (3, 1, [1, 1, 1])]
)
def test_sizes_by_hand(n_rows: int, batch_size: int, expected: list[int]) -> None:
    assert Minibatches(n_rows, batch_size).sizes == expected

"""The rows of an epoch against what the plain path reads from the buffer, minibatch by minibatch."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.buffers import TeacherLabelsMixin, TeacherRolloutBuffer
from sb3_rpd.common.teacher_outputs import CheckedOutput
from sb3_rpd.fast_path.minibatches import Minibatches
from sb3_rpd.fast_path.rows import Rows, rollout_rows

ACTIONS = spaces.Box(-1.0, 1.0, (2,), np.float64)
FIELDS = ("actions", "old_log_prob", "old_values", "advantages", "returns")


def make_buffer(n_steps: int, n_envs: int, *, labeled: float, std: bool = False, seed: int = 0) -> TeacherLabelsMixin:
    """A complete rollout of random numbers."""
    generator = np.random.default_rng(seed)
    observation_space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    buffer = TeacherRolloutBuffer(n_steps, observation_space, ACTIONS, device="cpu", n_envs=n_envs)
    for _ in range(n_steps):
        values, log_probs = th.as_tensor(generator.normal(size=(2, n_envs)))
        noise = generator.normal(size=(n_envs, 6))
        buffer.add(noise[:, :3], noise[:, 3:5], noise[:, 5], generator.random(n_envs) < 0.2, values, log_probs)
    buffer.compute_returns_and_advantage(th.zeros(n_envs), np.zeros(n_envs))
    chosen = np.argwhere(generator.random((n_steps, n_envs)) < labeled)
    if len(chosen):
        numbers = generator.normal(size=(len(chosen), 4)).astype(np.float32)
        output = CheckedOutput(numbers[:, :2], np.abs(numbers[:, 2:]) if std else None)
        buffer.add_labels(chosen[:, 0], chosen[:, 1], output)
    return buffer


def epoch(buffer: TeacherLabelsMixin, batch_size: int, **kwargs: Any) -> list[Rows]:
    buffer.flatten()
    minibatches = Minibatches(len(buffer.actions), batch_size)
    np.random.seed(3)  # noqa: NPY002
    order = th.as_tensor(np.random.permutation(minibatches.n_rows))  # noqa: NPY002
    rows = rollout_rows(buffer, th.device("cpu")).epoch(order, minibatches, **{"normalize_advantage": False} | kwargs)
    return rows.split(minibatches)


@given(
    n_steps=st.integers(1, 6),
    n_envs=st.integers(1, 3),
    batch_size=st.integers(1, 20),
    labeled=st.sampled_from([0.0, 0.4, 1.0]),
    std=st.booleans(),
)
def test_minibatches_are_those_of_the_plain_path(
    n_steps: int, n_envs: int, batch_size: int, labeled: float, std: bool
) -> None:
    plain, fast = (make_buffer(n_steps, n_envs, labeled=labeled, std=std) for _ in range(2))
    np.random.seed(3)  # noqa: NPY002
    expected = list(plain.get(batch_size))
    actual = epoch(fast, batch_size)
    assert len(expected) == len(actual)
    for batch, rows in zip(expected, actual, strict=True):
        for name in FIELDS:
            column = getattr(rows, name)
            assert column.dtype == th.float32
            assert th.equal(column, getattr(batch, name))
        assert th.equal(rows.labels.actions, batch.teacher_labels.actions)
        assert th.equal(rows.labels.labeled, batch.teacher_labels.labeled)
        assert (rows.labels.std is None) == (batch.teacher_labels.std is None)
        if rows.labels.std is not None:
            assert th.equal(rows.labels.std, batch.teacher_labels.std)


@given(batch_size=st.integers(1, 20), labeled=st.sampled_from([0.0, 0.3, 1.0]))
def test_weights_of_the_labels_are_one_over_their_number_in_the_minibatch(batch_size: int, labeled: float) -> None:
    for rows in epoch(make_buffer(5, 3, labeled=labeled), batch_size):
        n_labels = int(rows.labels.labeled.sum())
        expected = rows.labels.labeled.numpy() / max(n_labels, 1)
        np.testing.assert_allclose(rows.label_weights, expected, rtol=1e-6)
        # What is not labeled pulls at nothing
        assert (rows.teacher_actions[~rows.labels.labeled] == 0.0).all()


@pytest.mark.parametrize("batch_size", [1, 4, 7, 15, 20])
def test_advantages_are_normalized_within_each_minibatch_as_in_ppo(batch_size: int) -> None:
    raw = epoch(make_buffer(5, 3, labeled=1.0), batch_size)
    normalized = epoch(make_buffer(5, 3, labeled=1.0), batch_size, normalize_advantage=True)
    for before, after in zip(raw, normalized, strict=True):
        advantages = before.advantages.numpy().astype(np.float64)
        if len(advantages) > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std(ddof=1) + 1e-8)
        np.testing.assert_allclose(after.advantages, advantages, rtol=1e-5, atol=1e-5)
        assert th.equal(before.returns, after.returns)


def test_rows_of_the_rollout_are_not_changed_by_an_epoch() -> None:
    buffer = make_buffer(4, 2, labeled=0.5)
    buffer.flatten()
    rows = rollout_rows(buffer, th.device("cpu"))
    before = [None if part is None else part.clone() for part in rows]
    for part in rows.epoch(th.arange(8), Minibatches(8, 3), normalize_advantage=True):
        if part is not None:
            part.fill_(7.0)
    for old, new in zip(before, rows, strict=True):
        assert (old is None and new is None) or th.equal(old, new)


def test_first_rows_and_minibatches_are_views() -> None:
    buffer = make_buffer(4, 2, labeled=0.5)
    buffer.flatten()
    rows = rollout_rows(buffer, th.device("cpu"))
    first, *_, last = rows.split(Minibatches(8, 3))
    assert len(last.actions) == 2
    assert first.actions.data_ptr() == rows.first(3).actions.data_ptr() == rows.actions.data_ptr()
    assert last.returns.data_ptr() == rows.returns[6:].data_ptr()


def test_an_incomplete_rollout_is_refused() -> None:
    buffer = TeacherRolloutBuffer(2, spaces.Box(-1.0, 1.0, (3,)), ACTIONS, device="cpu", n_envs=1)
    with pytest.raises(AssertionError, match="not complete"):
        buffer.flatten()

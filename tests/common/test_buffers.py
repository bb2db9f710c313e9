"""Rollout buffers with labels: storage, order, masks, and classes of the user's own."""

import pickle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.vec_env import VecNormalize

from sb3_rpd.common.buffers import (
    TeacherDictRolloutBuffer,
    TeacherLabelsMixin,
    TeacherRolloutBuffer,
    TeacherRolloutBufferSamples,
    give_room_for_labels,
    with_teacher_labels,
)
from sb3_rpd.common.teacher_outputs import CheckedOutput

VECTOR = spaces.Box(-np.inf, np.inf, (2,), np.float32)


def fill(buffer: RolloutBuffer) -> None:
    """Each observation is the pair (step, environment)."""
    for step in range(buffer.buffer_size):
        observation = np.stack([np.full(buffer.n_envs, step), np.arange(buffer.n_envs)], axis=1).astype(np.float32)
        if isinstance(buffer, DictRolloutBuffer):
            observation = {"pair": observation}
        zeros = np.zeros(buffer.n_envs)
        action = np.zeros((buffer.n_envs, buffer.action_dim))
        buffer.add(observation, action, zeros, zeros, th.zeros(buffer.n_envs), th.zeros(buffer.n_envs))


def make_buffer(n_steps: int, n_envs: int, action_space: spaces.Space, **kwargs: Any) -> TeacherLabelsMixin:
    return TeacherRolloutBuffer(n_steps, VECTOR, action_space, device="cpu", n_envs=n_envs, **kwargs)


@given(n_steps=st.integers(1, 5), n_envs=st.integers(1, 4), action_dim=st.integers(1, 3), data=st.data())
def test_label_comes_back_with_its_entry(n_steps: int, n_envs: int, action_dim: int, data: st.DataObject) -> None:
    """Written in any order and in any batches, read in minibatches of any size."""
    buffer = make_buffer(n_steps, n_envs, spaces.Box(-100, 100, (action_dim,)))
    fill(buffer)
    entries = data.draw(st.permutations([(step, env) for step in range(n_steps) for env in range(n_envs)]))
    n_labeled = data.draw(st.integers(0, len(entries)))
    batch_size = data.draw(st.integers(1, len(entries)))
    for start in range(0, n_labeled, batch_size):
        steps, envs = np.array(entries[start : min(start + batch_size, n_labeled)]).T
        actions = np.repeat((10 * steps + envs)[:, None], action_dim, axis=1).astype(np.float32)
        buffer.add_labels(steps, envs, CheckedOutput(actions))
    assert buffer.labeled_fraction() == pytest.approx(n_labeled / len(entries))
    n_read = 0
    for batch in buffer.get(batch_size):
        labels = batch.teacher_labels
        for pair, action, labeled in zip(
            batch.observations.tolist(), labels.actions.tolist(), labels.labeled.tolist(), strict=True
        ):
            assert labeled == (tuple(pair) in entries[:n_labeled])
            assert action == [10 * pair[0] + pair[1] if labeled else 0.0] * action_dim
        n_read += len(labels.labeled)
    assert n_read == len(entries)


def test_labels_by_step_and_environment() -> None:
    buffer = make_buffer(3, 2, spaces.Box(-1, 1, (2,)))
    assert buffer.teacher_actions.shape == (3, 2, 2)
    assert buffer.teacher_actions.dtype == np.float32
    assert np.isnan(buffer.teacher_actions).all()
    buffer.add_labels(np.array([2]), np.array([1]), CheckedOutput(np.float32([[0.5, -0.5]])))
    assert buffer.teacher_actions[2, 1].tolist() == [0.5, -0.5]
    assert np.isnan(buffer.teacher_actions).sum() == 10
    buffer.reset()
    assert np.isnan(buffer.teacher_actions).all()


def test_row_with_one_nan_is_no_label() -> None:
    buffer = make_buffer(1, 2, spaces.Box(-1, 1, (2,)))
    fill(buffer)
    buffer.add_labels(np.array([0, 0]), np.array([0, 1]), CheckedOutput(np.float32([[0.5, np.nan], [0.5, 0.5]])))
    labels = next(buffer.get()).teacher_labels
    assert labels.labeled.sum() == 1
    assert labels.actions.sum() == 1.0
    assert buffer.labeled_fraction() == 0.5
    assert labels.actions.dtype == th.float32
    assert labels.labeled.dtype == th.bool


@pytest.mark.parametrize("action_space", [spaces.Box(-1, 1, (2,)), spaces.MultiDiscrete([2, 3])])
def test_distributions_are_kept_under_the_name_that_the_space_gives_them(action_space: spaces.Space) -> None:
    buffer = make_buffer(2, 1, action_space)
    fill(buffer)
    width = 2 if isinstance(action_space, spaces.Box) else 5
    distribution = 2.0 + np.arange(width, dtype=np.float32)[None]
    buffer.add_labels(np.array([0]), np.array([0]), CheckedOutput(np.zeros((1, 2), np.float32), distribution))
    labels = next(buffer.get()).teacher_labels
    kept, other = (labels.std, labels.logits) if isinstance(action_space, spaces.Box) else (labels.logits, labels.std)
    assert other is None
    assert kept[labels.labeled].tolist() == distribution.tolist()
    # A standard deviation of 1 where there is no label
    assert (kept[~labels.labeled] == 1.0).all()
    buffer.reset()
    fill(buffer)
    assert next(buffer.get()).teacher_labels.std is None


def test_dict_observations() -> None:
    buffer = TeacherDictRolloutBuffer(2, spaces.Dict({"pair": VECTOR}), spaces.Discrete(3), device="cpu", n_envs=2)
    fill(buffer)
    buffer.add_labels(np.array([1]), np.array([0]), CheckedOutput(np.float32([[2.0]])))
    batch = next(buffer.get())
    row = int(batch.teacher_labels.labeled.nonzero())
    assert batch.observations["pair"][row].tolist() == [1.0, 0.0]
    assert batch.teacher_labels.actions[row].tolist() == [2.0]


# ---------------------------------------------------------------- classes


def test_class_is_made_once_and_is_both() -> None:
    class Own(RolloutBuffer):
        """Of the user's own."""

    labeled = with_teacher_labels(Own)
    assert with_teacher_labels(Own) is labeled
    assert with_teacher_labels(labeled) is labeled
    assert issubclass(labeled, Own)
    assert issubclass(labeled, TeacherLabelsMixin)
    assert (labeled.__name__, labeled.__doc__) == ("TeacherOwn", "Of the user's own.")
    assert with_teacher_labels(RolloutBuffer) is TeacherRolloutBuffer


def test_classes_of_this_package_are_pickled_by_name() -> None:
    for buffer_class in (TeacherRolloutBuffer, TeacherDictRolloutBuffer):
        assert pickle.loads(pickle.dumps(buffer_class)) is buffer_class


def test_fields_that_a_buffer_of_the_users_own_adds_are_kept() -> None:
    class Samples(NamedTuple):
        observations: th.Tensor
        actions: th.Tensor
        old_values: th.Tensor
        old_log_prob: th.Tensor
        advantages: th.Tensor
        returns: th.Tensor
        indices: th.Tensor

    class Own(RolloutBuffer):
        def _get_samples(self, batch_inds: np.ndarray, env: VecNormalize | None = None) -> Any:
            return Samples(*super()._get_samples(batch_inds, env), self.to_torch(batch_inds))

    buffer = with_teacher_labels(Own)(4, VECTOR, spaces.Box(-1, 1, (1,)), device="cpu", n_envs=1)
    fill(buffer)
    buffer.add_labels(np.array([2]), np.array([0]), CheckedOutput(np.float32([[0.5]])))
    batch = next(buffer.get())
    assert batch.indices[batch.teacher_labels.labeled].tolist() == [2]


def test_fields_are_those_of_sb3_and_the_labels() -> None:
    buffer = make_buffer(1, 1, spaces.Box(-1, 1, (1,)))
    fill(buffer)
    assert isinstance(next(buffer.get()), TeacherRolloutBufferSamples)
    plain = RolloutBuffer(1, VECTOR, spaces.Box(-1, 1, (1,)), device="cpu")
    fill(plain)
    assert TeacherRolloutBufferSamples._fields == (*next(plain.get())._fields, "teacher_labels")


# ---------------------------------------------------------------- order in memory


IMAGES = spaces.Dict({"pair": VECTOR, "image": spaces.Box(0, 255, (2, 3, 1), np.uint8)})


def fill_both(n_steps: int, n_envs: int, space: spaces.Space, *buffers: RolloutBuffer, seed: int = 0) -> None:
    """The same random rollout in each buffer."""
    generator = np.random.default_rng(seed)
    space.seed(seed)
    for _ in range(n_steps):
        observations: Any = [space.sample() for _ in range(n_envs)]
        if isinstance(space, spaces.Dict):
            observations = {name: np.stack([sample[name] for sample in observations]) for name in space}
        else:
            observations = np.stack(observations)
        noise = generator.normal(size=(n_envs, 4)).astype(np.float32)
        values, log_probs = th.as_tensor(noise[:, 2]), th.as_tensor(noise[:, 3])
        for buffer in buffers:
            buffer.add(observations, noise[:, :1], noise[:, 1], noise[:, 1] > 1.0, values, log_probs)
    for buffer in buffers:
        buffer.compute_returns_and_advantage(th.zeros(n_envs), np.zeros(n_envs))


@given(n_steps=st.integers(1, 4), n_envs=st.integers(1, 3), is_dict=st.booleans(), batch_size=st.integers(1, 12))
def test_content_and_order_are_those_of_sb3s_buffer(n_steps: int, n_envs: int, is_dict: bool, batch_size: int) -> None:
    space = IMAGES if is_dict else VECTOR
    plain_class, teacher_class = (
        (DictRolloutBuffer, TeacherDictRolloutBuffer) if is_dict else (RolloutBuffer, TeacherRolloutBuffer)
    )
    buffers = [
        kind(n_steps, space, spaces.Box(-1, 1, (1,)), device="cpu", n_envs=n_envs) for kind in (plain_class, teacher_class)
    ]
    for rollout in range(2):
        for buffer in buffers:
            buffer.reset()
        fill_both(n_steps, n_envs, space, *buffers, seed=rollout)
        if rollout == 1:
            # Whoever flattens first, minibatches are the same
            buffers[1].flatten()
        batches = []
        for buffer in buffers:
            np.random.seed(4)  # noqa: NPY002
            batches.append(list(buffer.get(batch_size)))
        for plain, labeled in zip(*batches, strict=True):
            for name, expected in plain._asdict().items():
                actual = getattr(labeled, name)
                if isinstance(expected, dict):
                    assert all(th.equal(actual[key], expected[key]) for key in expected)
                else:
                    assert actual.dtype == expected.dtype
                    assert th.equal(actual, expected)


@pytest.mark.parametrize("space", [VECTOR, IMAGES])
def test_rollout_is_flattened_without_a_copy(space: spaces.Space) -> None:
    kind = TeacherDictRolloutBuffer if isinstance(space, spaces.Dict) else TeacherRolloutBuffer
    buffer = kind(4, space, spaces.Box(-1, 1, (1,)), device="cpu", n_envs=3)
    before = None
    for rollout in range(2):
        if rollout:
            buffer.reset()
        fill_both(4, 3, space, buffer)
        collected = buffer.observations
        pieces = list(collected.values()) if isinstance(collected, dict) else [collected]
        assert all(piece.shape[:2] == (4, 3) for piece in pieces)
        buffer.flatten()
        buffer.flatten()
        flat = list(buffer.observations.values()) if isinstance(buffer.observations, dict) else [buffer.observations]
        for piece, flattened in zip(pieces, flat, strict=True):
            assert np.shares_memory(piece, flattened)
            assert flattened.flags.c_contiguous
            assert flattened.shape == (12, *piece.shape[2:])
            # The entries of one environment follow one another
            np.testing.assert_array_equal(flattened.reshape(3, 4, *piece.shape[2:]), piece.swapaxes(0, 1))
        # A rollout that somebody keeps is not overwritten by the next one
        assert before is None or not any(np.shares_memory(old, new) for old, new in zip(before, flat, strict=True))
        before = flat


def test_incomplete_rollout_is_not_flattened() -> None:
    buffer = make_buffer(2, 1, spaces.Box(-1, 1, (1,)))
    with pytest.raises(AssertionError, match="not complete"):
        buffer.flatten()


def test_layout_of_a_users_own_class_is_left_alone() -> None:
    class OneMore(RolloutBuffer):
        """Keeps the last observation too."""

        def reset(self) -> None:
            super().reset()
            self.observations = np.arange(12.0, dtype=np.float32).reshape(self.buffer_size + 1, self.n_envs, 2)

    buffer = with_teacher_labels(OneMore)(2, VECTOR, spaces.Box(-1, 1, (1,)), device="cpu", n_envs=2)
    np.testing.assert_array_equal(buffer.observations, np.arange(12.0).reshape(3, 2, 2))


def test_steps_are_announced_before_they_are_stored_and_only_inside() -> None:
    buffer = TeacherRolloutBuffer(3, spaces.Box(-1.0, 1.0, (2,)), spaces.Box(-1.0, 1.0, (1,)), device="cpu", n_envs=2)
    announced: list[tuple[int, Any]] = []
    steps = [np.full((2, 2), step, np.float32) for step in range(3)]
    others = (np.zeros((2, 1)), np.zeros(2), np.zeros(2), th.zeros(2), th.zeros(2))
    buffer.add(steps[0], *others)
    with buffer.announcing(lambda position, observations, stored: announced.append((position, observations))):
        buffer.add(steps[1], *others)
    buffer.add(steps[2], *others)
    assert [position for position, _ in announced] == [1]
    assert announced[0][1] is steps[1]
    assert buffer.full


def test_room_for_labels_is_given_to_the_same_object() -> None:
    buffer = RolloutBuffer(3, spaces.Box(-1.0, 1.0, (2,)), spaces.Box(-1.0, 1.0, (1,)), device="cpu", n_envs=2)
    give_room_for_labels(buffer)
    assert type(buffer) is TeacherRolloutBuffer
    buffer.reset()
    assert buffer.labeled_fraction() == 0.0
    give_room_for_labels(buffer)
    assert type(buffer) is TeacherRolloutBuffer

"""Which view belongs to which observation: by place in memory and by value."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sb3_rpd.common.input_tracker import (
    REPLACED,
    TeacherInputTracker,
    View,
    copied,
    has_same_values,
    shares_memory,
)

FIRST, SECOND = View([{"observation": np.zeros(1)}]), View([{"observation": np.ones(1)}])


def arrays(*values: float) -> list[np.ndarray]:
    return [np.full((1, 3), value) for value in values]


def tracker_of(first: Any, second: Any = None) -> TeacherInputTracker:
    tracker = TeacherInputTracker()
    tracker.keep(first, FIRST)
    if second is not None:
        tracker.add(second, copied(second), SECOND)
    return tracker


def test_view_is_found_by_object_and_value() -> None:
    first, second, other = arrays(1.0, 2.0, 1.0)
    tracker = tracker_of(first, second)
    assert tracker.find(first) is FIRST
    assert tracker.find(second) is SECOND
    # A copy is another observation with the same values
    assert tracker.find(other) is None
    assert tracker.find_by_values(other) is FIRST
    first[0, 1] = 5.0
    assert tracker.find(first) is None
    assert tracker.is_changed_in_place(first)
    assert not tracker.is_changed_in_place(second)
    assert not tracker.is_changed_in_place(other)


def test_memory_that_is_written_over_has_the_view_of_what_is_there() -> None:
    memory = np.zeros((1, 3))
    tracker = tracker_of(memory[:])
    memory[...] = 1.0
    view = memory[:]
    tracker.add(view, copied(view), SECOND)
    assert tracker.memory_is_reused
    assert tracker.find(memory) is SECOND
    assert not tracker_of(*arrays(0.0, 1.0)).memory_is_reused


def test_two_moments_that_look_the_same_are_told_apart_by_their_place() -> None:
    first, second = arrays(1.0, 1.0)
    tracker = tracker_of(first, second)
    assert tracker.find(first) is FIRST
    assert tracker.find(second) is SECOND
    tracker.drop_last("why")
    assert tracker.find(second) == View(None, "why")
    assert tracker.find(first) is FIRST


def test_no_more_than_two_moments_are_known() -> None:
    observations = arrays(1.0, 2.0, 3.0)
    tracker = tracker_of(observations[0], observations[1])
    tracker.add(observations[2], copied(observations[2]), FIRST)
    assert [tracker.find(array) is None for array in observations] == [True, False, False]


def test_between_two_rollouts() -> None:
    first, second, other = arrays(1.0, 2.0, 3.0)
    tracker = tracker_of(first, second)
    tracker.settle(first)
    assert tracker.find(first) is FIRST
    assert tracker.find(second) is None
    tracker.settle(other)
    assert tracker.find(other) == View(None, REPLACED)
    tracker.clear()
    tracker.settle(other)
    assert tracker.find(other) == View(None, None)


@given(
    hnp.arrays(st.sampled_from([np.uint8, np.float32, np.int64, bool]), hnp.array_shapes(max_dims=4, max_side=4)), st.data()
)
def test_values_and_memory(array: np.ndarray, data: Any) -> None:
    copy = copied(array)
    assert has_same_values(array, copy)
    assert not shares_memory(array, copy)
    assert shares_memory(array, array[:])
    index = data.draw(st.integers(0, array.size - 1))
    changed = copy.reshape(-1)
    changed[index] = not changed[index]
    assert has_same_values(array, copy) == (array.reshape(-1)[index] == changed[index])


def test_dicts_and_nan() -> None:
    first = {"a": np.array([1.0, np.nan]), "b": np.array([1])}
    assert has_same_values(first, {"b": np.array([1]), "a": np.array([1.0, np.nan])})
    assert not has_same_values(first, {"a": first["a"]})
    assert not has_same_values(first, first["a"])
    assert not has_same_values({"a": first["a"]}, {"a": np.array([np.nan, 1.0])})
    assert not has_same_values({"a": first["a"]}, {"a": np.array([1.0])})
    assert shares_memory(first, {"a": np.zeros(1), "b": first["b"]})
    assert not shares_memory(first, copied(first))


@pytest.mark.parametrize("dtype", ["U3", object])
def test_values_of_other_types(dtype: Any) -> None:
    assert has_same_values(np.array(["a", "b"], dtype), np.array(["a", "b"], dtype))
    assert not has_same_values(np.array(["a", "b"], dtype), np.array(["a", "c"], dtype))

"""Arrays that went through shared memory are the same to the last bit, whatever their shape, dtype and layout."""

import os

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers.process.shared_arrays import SharedArrays

DTYPES = st.sampled_from(["bool", "uint8", "int64", "float16", "float32", ">f8", "complex64", "<U5"]).map(np.dtype)
ARRAYS = DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)))


def two_ends() -> tuple[SharedArrays, SharedArrays]:
    here = SharedArrays()
    return here, SharedArrays(os.dup(here._descriptor))


@given(first=st.lists(ARRAYS, max_size=4), second=st.lists(ARRAYS, max_size=4))
def test_there_and_back(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    here, there = two_ends()
    try:
        arrived = there.read(here.write(first))
        back = here.read(there.write([array.T for array in second]))  # the memory is used again
    finally:
        here.close()
        there.close()

    for array, copy in zip([*first, *(array.T for array in second)], [*arrived, *back], strict=True):
        assert copy.dtype == array.dtype
        assert copy.shape == array.shape
        assert copy.tobytes() == array.tobytes()


def test_either_end_makes_it_grow() -> None:
    here, there = two_ends()
    small, frames, logits = np.arange(3.0), np.arange(50_000, dtype=np.uint8), np.arange(300_000.0)

    np.testing.assert_array_equal(there.read(here.write([small]))[0], small)
    small_capacity = here.capacity
    np.testing.assert_array_equal(there.read(here.write([small, frames]))[1], frames)
    np.testing.assert_array_equal(here.read(there.write([logits]))[0], logits)
    large_capacity = here.capacity
    np.testing.assert_array_equal(there.read(here.write([frames, small]))[1], small)

    assert small_capacity < frames.nbytes
    assert logits.nbytes <= large_capacity == here.capacity == there.capacity
    here.close()
    there.close()


def test_copies_outlive_the_memory() -> None:
    here, there = two_ends()
    (kept,) = there.read(here.write([np.array([1, 2])]))
    here.write([np.array([3, 4])])
    here.close()
    there.close()
    here.close()

    kept += 10
    assert kept.tolist() == [11, 12]


@pytest.mark.parametrize("array", [np.array([None, "x"]), np.zeros(2, dtype=[("a", "f4")])])
def test_objects_and_records_are_refused(array: np.ndarray) -> None:
    here = SharedArrays()
    with pytest.raises(TeacherError, match=r"dtype .* cannot be shared between processes"):
        here.write([array])
    here.close()


def test_a_system_without_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(TeacherError, match="only Linux has"):
        SharedArrays()

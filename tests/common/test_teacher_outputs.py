"""What a teacher may answer: shapes, dtypes, ranges, and the masks of rows that cannot be used."""

import warnings
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.common.teacher_outputs import BOX_TOLERANCE, check_teacher_output, n_logits

BOX = spaces.Box(np.float32([[-1.0, 0.0]]), np.float32([[1.0, 10.0]]))
FLAT = spaces.Box(-1.0, 1.0, (2,), np.float32)
MULTIDISCRETE = spaces.MultiDiscrete([2, 3])

any_space = st.one_of(
    npst.array_shapes(max_dims=3, max_side=3).map(lambda shape: spaces.Box(-2.0, 3.0, shape, np.float32)),
    st.integers(1, 6).map(spaces.Discrete),
    st.lists(st.integers(1, 5), min_size=1, max_size=4).map(spaces.MultiDiscrete),
    st.integers(1, 5).map(spaces.MultiBinary),
)


@given(space=any_space, n=st.integers(1, 5), seed=st.integers(0, 1000))
def test_every_action_of_the_space_passes_unchanged(space: spaces.Space, n: int, seed: int) -> None:
    space.seed(seed)
    answer = np.stack([space.sample() for _ in range(n)])
    output = check_teacher_output(answer, space, n)
    np.testing.assert_array_equal(output.actions, answer.reshape(n, -1).astype(np.float32))
    assert output.actions.dtype == np.float32
    assert (output.distribution, output.complaint) == (None, None)
    # A label is a copy: the teacher may use its memory again
    assert not np.shares_memory(output.actions, answer)


@given(space=any_space, n=st.integers(1, 4), shape=npst.array_shapes(min_dims=0, max_dims=4, max_side=4))
def test_every_other_shape_is_an_error_that_names_both(space: spaces.Space, n: int, shape: tuple[int, ...]) -> None:
    wanted = (n, *space.shape)
    if shape == wanted:
        return
    with pytest.raises(TeacherError) as caught:
        check_teacher_output(np.zeros(shape), space, n)
    assert f"shape {shape}, but shape {wanted} is needed" in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "cure"),
    [
        (None, r"actions are None, but .* A `return` may be missing\.$"),
        ((np.zeros((1, 2)), None), r"are a tuple \(ndarray, NoneType\), but .* Return the actions alone.*not its predict\.$"),
        (
            (np.zeros((1, 2)), np.ones((1, 2))),
            r"are a tuple \(ndarray, ndarray\), but .* Return the actions alone",
        ),
        (
            {"actions": np.zeros((1, 2))},
            r"a dict \('actions'\), but .* Return the actions alone, or TeacherOutput\(actions, std=...\)",
        ),
        ([[0.0], [0.0, 1.0]], "rows|dtype object|inhomogeneous"),
    ],
)
@pytest.mark.filterwarnings("ignore:Creating an ndarray from ragged")
def test_what_is_no_array_says_what_to_return(answer: Any, cure: str) -> None:
    with pytest.raises(TeacherError, match=cure) as caught:
        check_teacher_output(answer, FLAT, 1)
    assert "shape (1, 2) is needed" in str(caught.value)


def wide_boxes(size: int) -> spaces.Box:
    low = np.random.default_rng(size).uniform(-2.0, -1.0, size).astype(np.float32)
    return spaces.Box(low, low + 1.0)


large_spaces = st.one_of(
    st.integers(1, 3000).map(wide_boxes),
    st.lists(st.integers(1, 10**6), min_size=1, max_size=3000).map(spaces.MultiDiscrete),
    st.integers(1, 3000).map(spaces.MultiBinary),
    npst.array_shapes(max_dims=8, max_side=3).map(lambda shape: spaces.Box(-1.0, 1.0, shape, np.float32)),
)


@given(
    space=large_spaces, n=st.integers(1, 3), offset=st.sampled_from([1e-3, 0.5, np.pi, 1e10, np.nan]), seed=st.integers(0, 9)
)
def test_no_complaint_is_long(space: spaces.Space, n: int, offset: float, seed: int) -> None:
    space.seed(seed)
    answer = np.stack([space.sample() for _ in range(n)]) + offset
    complaint = check_teacher_output(answer, space, n).complaint
    assert len(complaint or "") < 1000
    wrong: list[Any] = [
        answer[..., None],
        answer.astype(str),
        tuple(answer.reshape(-1)),
        {str(i): 0 for i in range(5000)},
        [answer, 0],
    ]
    for given_answer in wrong:
        with pytest.raises(TeacherError) as caught:
            check_teacher_output(given_answer, space, n + 1)
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("answer", [np.full((1, 2), "a"), np.full((1, 2), None), np.full((1, 2), 1j)])
def test_what_is_no_real_number_is_an_error(answer: Any) -> None:
    with pytest.raises(TeacherError, match=r"have dtype .*, not one of real numbers"):
        check_teacher_output(answer, FLAT, 1)


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int8, np.uint64, bool])
def test_all_real_dtypes_are_taken(dtype: Any) -> None:
    assert check_teacher_output(np.ones((1, 2), dtype), FLAT, 1).actions.tolist() == [[1.0, 1.0]]
    assert check_teacher_output(np.ones((1, 2), dtype), MULTIDISCRETE, 1).actions.tolist() == [[1.0, 1.0]]


def test_clipped_numbers_are_counted_in_the_rows_that_are_labels() -> None:
    # One number of two clipped here; none; both outside, and too far; one by the teacher; one here and one by the teacher
    answer = np.array([[[-1.019, 5.0]], [[-1.0, 10.0]], [[9.0, 10.09]], [[1.0, 5.0]], [[1.0, 10.09]]])
    output = check_teacher_output(TeacherOutput(answer, clipped=np.array([0, 0, 0, 1, 1])), BOX, 5)
    assert output.clipped.tolist() == [0.5, 0.0, 0.0, 0.5, 1.0]
    assert np.isnan(output.actions[2]).all()
    assert check_teacher_output(answer, BOX, 5).clipped.tolist() == [0.5, 0.0, 0.0, 0.0, 0.5]
    assert check_teacher_output(np.array([1]), spaces.Discrete(2), 1).clipped is None


def test_box_clips_what_is_just_outside_and_masks_what_is_further() -> None:
    # Widths 2 and 10: tolerances 0.02 and 0.1
    answer = np.array([[[-1.019, 10.09]], [[-1.021, 5.0]], [[0.0, 10.11]], [[0.5, -0.09]]])
    assert BOX_TOLERANCE == 0.01
    output = check_teacher_output(answer, BOX, 4)
    np.testing.assert_array_equal(output.actions, np.float32([[-1, 10], [np.nan] * 2, [np.nan] * 2, [0.5, 0]]))
    assert "2 of 4 answers have an action outside of Box" in output.complaint
    assert "[-1.02" in output.complaint


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_rows_that_are_not_finite_are_masked(value: float) -> None:
    output = check_teacher_output(np.array([[0.5, 0.5], [0.5, value]]), FLAT, 2)
    np.testing.assert_array_equal(output.actions, np.float32([[0.5, 0.5], [np.nan] * 2]))
    assert output.complaint.startswith("1 of 2 answers have NaN or infinity")


def test_widest_box_does_not_overflow() -> None:
    largest = np.finfo(np.float32).max
    space = spaces.Box(-largest, largest, (1,), np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert check_teacher_output(np.array([[1e30]]), space, 1).complaint is None


def test_unbounded_box_has_no_outside() -> None:
    space = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    assert check_teacher_output(np.array([[1e30]]), space, 1).actions.tolist() == [[np.float32(1e30)]]


@pytest.mark.parametrize(
    ("space", "bad"),
    [
        (spaces.Discrete(3), [3, -1, 0.5, np.nan]),
        (MULTIDISCRETE, [[2, 0], [0, 3], [0.5, 0], [np.nan, 0]]),
        (spaces.MultiBinary(2), [[2, 0], [0, -1], [0.5, 0], [0, np.inf]]),
    ],
)
def test_rows_outside_of_a_discrete_space_are_masked(space: spaces.Space, bad: list[Any]) -> None:
    good = np.ones_like(bad[:1])
    output = check_teacher_output(np.concatenate([good, np.array(bad)]), space, 5)
    assert np.isnan(output.actions).any(axis=1).tolist() == [False, True, True, True, True]
    assert output.complaint.startswith("4 of 5 answers have NaN, or an action that is not a whole number from 0 to")


def test_memory_of_the_teacher_is_not_written_to() -> None:
    answer, logits = np.array([5.0, 1.0], np.float32), np.array([[0.0, 1.0], [np.nan, 1.0]], np.float32)
    output = check_teacher_output(TeacherOutput(answer, logits=logits), spaces.Discrete(2), 2)
    assert np.isnan(output.actions).all()
    assert answer.tolist() == [5.0, 1.0]
    assert np.isnan(logits[1, 0])


# ---------------------------------------------------------------- distributions


@pytest.mark.parametrize(("space", "n"), [(spaces.Discrete(4), 4), (MULTIDISCRETE, 5), (spaces.MultiBinary(3), 3)])
def test_number_of_logits(space: spaces.Space, n: int) -> None:
    assert n_logits(space) == n
    answer = np.zeros((2, *space.shape))
    output = check_teacher_output(TeacherOutput(answer, logits=np.ones((2, n))), space, 2)
    assert output.distribution.tolist() == np.ones((2, n)).tolist()
    with pytest.raises(TeacherError, match=rf"logits have shape \(2, {n + 1}\), but shape \(2, {n}\)"):
        check_teacher_output(TeacherOutput(answer, logits=np.ones((2, n + 1))), space, 2)


def test_standard_deviation_has_the_shape_of_the_action() -> None:
    output = check_teacher_output(TeacherOutput(np.zeros((3, 1, 2)), std=np.full((3, 1, 2), 0.5)), BOX, 3)
    assert output.distribution.tolist() == [[0.5, 0.5]] * 3
    with pytest.raises(TeacherError, match="std have shape"):
        check_teacher_output(TeacherOutput(np.zeros((3, 1, 2)), std=np.zeros((3, 2))), BOX, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5])
def test_rows_with_an_impossible_standard_deviation_are_masked(value: float) -> None:
    std = np.array([[0.0, 1.0], [1.0, value]])
    output = check_teacher_output(TeacherOutput(np.zeros((2, 2)), std=std), FLAT, 2)
    assert np.isnan(output.actions).any(axis=1).tolist() == [False, True]
    # Nothing but numbers goes into the buffer, masked or not
    assert output.distribution.tolist() == [[0.0, 1.0], [1.0, 1.0]]
    assert output.complaint.startswith("1 of 2 answers have")


def test_action_that_is_ruled_out_has_a_logit_of_minus_infinity() -> None:
    logits = np.array([[-np.inf, 0.0, 1.0], [np.nan, 0.0, 0.0], [np.inf, 0.0, 0.0]])
    output = check_teacher_output(TeacherOutput(np.zeros(3), logits=logits), spaces.Discrete(3), 3)
    assert np.isnan(output.actions[:, 0]).tolist() == [False, True, True]
    assert output.distribution[0].tolist() == [-np.inf, 0.0, 1.0]


def test_first_complaint_is_kept() -> None:
    answer = TeacherOutput(np.array([[np.nan, 0.0], [0.0, 0.0]]), std=np.array([[1.0, 1.0], [-1.0, 1.0]]))
    output = check_teacher_output(answer, FLAT, 2)
    assert np.isnan(output.actions).all()
    assert "NaN or infinity in the action" in output.complaint

"""What travels to a teacher in another process and back: factories, exceptions, shares of a batch."""

import pickle
from functools import partial

import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers import FunctionTeacher
from sb3_rpd.teachers.made_elsewhere import (
    Failed,
    Ready,
    attempt,
    factory_name,
    merge_answers,
    pickle_factory,
    prepare,
    replica_names,
    share_out,
    unpickle_teacher,
)

BOX = spaces.Box(-2.0, 2.0, (3,), np.float32)


def at_rest(size: int = 3) -> FunctionTeacher:
    return FunctionTeacher(lambda observations: np.zeros((len(observations), size)))


def questions(n: int) -> Questions:
    return Questions(np.arange(n, dtype=np.float32)[:, np.newaxis], None)


@pytest.mark.parametrize("factory", [at_rest, partial(at_rest, 3), f"{__name__}:at_rest"], ids=str)
def test_a_factory_comes_back_as_a_teacher(factory) -> None:
    teacher = unpickle_teacher(pickle_factory(factory, "Elsewhere", pickle.dumps))
    assert prepare(teacher, BOX) == Ready(gives_distribution=False, takes_action_masks=False)
    np.testing.assert_array_equal(teacher.predict(np.ones((2, 4))).actions, np.zeros((2, 3)))
    assert factory_name(factory) == f"{__name__}:at_rest"


def test_exceptions_come_back_as_text() -> None:
    assert attempt(lambda: 7) == 7
    failed = attempt(lambda: 1 // 0)
    assert isinstance(failed, Failed)
    assert "ZeroDivisionError" in str(failed)
    assert "lambda" in failed.traceback


def test_replicas_are_told_apart_only_where_there_are_several() -> None:
    assert replica_names("T", 1) == ["T"]
    assert replica_names("T", 2) == ["T, replica 1 of 2,", "T, replica 2 of 2,"]


@pytest.mark.parametrize(("n", "expected"), [(5, [2, 3]), (1, [1]), (0, [0])])
def test_a_batch_is_shared_out_in_order(n: int, expected: list[int]) -> None:
    shares = share_out(["first", "second"], questions(n))
    assert [len(part) for _, part in shares] == expected
    assert np.concatenate([part.observations for _, part in shares]).ravel().tolist() == list(range(n))


def test_a_part_without_an_answer_has_no_labels() -> None:
    parts = [questions(2), questions(1)]
    answered = TeacherOutput(np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], np.float32))
    merged = merge_answers([answered, None], parts, BOX, gives_distribution=False).actions
    np.testing.assert_array_equal(merged, [[1, 2, 3], [4, 5, 6], [np.nan] * 3])


@pytest.mark.parametrize(
    ("space", "gives_distribution", "shapes"),
    [
        (BOX, False, {"actions": (3, 3)}),
        (BOX, True, {"actions": (3, 3), "std": (3, 3)}),
        (spaces.Discrete(4), False, {"actions": (3,)}),
        (spaces.Discrete(4), True, {"actions": (3,), "logits": (3, 4)}),
        (spaces.MultiDiscrete([2, 3]), True, {"actions": (3, 2), "logits": (3, 5)}),
    ],
)
def test_a_batch_without_any_answer_is_of_the_right_shape(
    space: spaces.Space, gives_distribution: bool, shapes: dict[str, tuple[int, ...]]
) -> None:
    merged = merge_answers([None, None], [questions(2), questions(1)], space, gives_distribution)
    given = {name: getattr(merged, name) for name in ("actions", "std", "logits") if getattr(merged, name) is not None}
    assert {name: array.shape for name, array in given.items()} == shapes
    assert all(np.isnan(array).all() for array in given.values())

"""What several environments offer, put into one batch."""

from typing import Any

import numpy as np
import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.stacking import stack_inputs


def test_batch_is_stacked_by_name_in_the_order_in_which_they_come() -> None:
    first = {"observation": {"a": np.ones(2), "b": np.zeros(())}}
    second = {"observation": {"b": np.ones(()), "a": np.zeros(2)}}
    questions = stack_inputs([first, second])
    assert questions.observations["a"].tolist() == [[1, 1], [0, 0]]
    assert questions.observations["b"].tolist() == [0, 1]
    assert questions.instructions is None


def test_instructions_are_for_all_or_for_none() -> None:
    told = [{"observation": np.zeros(1), "instruction": f"go {env}"} for env in range(2)]
    assert stack_inputs(told).instructions == ["go 0", "go 1"]
    with pytest.raises(TeacherError, match="2 of 3 environments give an instruction"):
        stack_inputs([*told, {"observation": np.zeros(1)}])


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ({"a": np.zeros(1)}, {"b": np.zeros(1)}, "different things to the teacher: a and b"),
        ({"a": np.zeros(1)}, np.zeros(1), "different things to the teacher: a and a single array"),
        (np.zeros(1), {"a": np.zeros(1)}, "different things to the teacher: a and a single array"),
        ({"a": np.zeros(1)}, {"a": np.zeros(2)}, r"'a' in different shapes: \(1,\), \(2,\)"),
        (np.zeros((2, 2)), np.zeros(2), "'observation' in different shapes"),
    ],
)
def test_environments_that_offer_different_things_are_named(first: Any, second: Any, message: str) -> None:
    with pytest.raises(TeacherError, match=message):
        stack_inputs([{"observation": first}, {"observation": second}])

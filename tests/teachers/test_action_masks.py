"""Masks beside what an environment offers."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd.common.wrappers import UNREAD
from sb3_rpd.teachers.action_masks import n_choices_by_dimension, with_action_mask

MASK, OTHER = np.array([True, False]), np.array([False, True])
ARRAY = np.zeros(3)


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ({"observation": ARRAY}, {"observation": {"observation": ARRAY, "action_mask": MASK}}),
        ({"observation": {"x": ARRAY}}, {"observation": {"x": ARRAY, "action_mask": MASK}}),
        (
            {"observation": ARRAY, "instruction": "go"},
            {"observation": {"observation": ARRAY, "action_mask": MASK}, "instruction": "go"},
        ),
        # The environment's own
        ({"observation": {"x": ARRAY, "action_masks": OTHER}}, {"observation": {"x": ARRAY, "action_masks": OTHER}}),
        # Nobody is asked
        ({"action": ARRAY}, {"action": ARRAY}),
        ({UNREAD: 3}, {UNREAD: 3}),
    ],
)
def test_mask_is_offered_where_a_teacher_will_be_asked(offered: dict[str, Any], expected: dict[str, Any]) -> None:
    before = repr(offered)
    np.testing.assert_equal(with_action_mask(offered, MASK), expected)
    assert repr(offered) == before


@pytest.mark.parametrize(
    ("space", "expected"),
    [(spaces.Discrete(4), [4]), (spaces.MultiDiscrete([2, 5]), [2, 5]), (spaces.MultiBinary(3), [2, 2, 2])],
)
def test_numbers_of_choices(space: spaces.Space, expected: list[int]) -> None:
    assert n_choices_by_dimension(space).tolist() == expected

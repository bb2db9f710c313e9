"""Lists in messages."""

import pytest

from sb3_rpd.common.wording import shortened


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([], "none"),
        (["a"], "'a'"),
        ((name for name in "abc"), "'a', 'b', 'c'"),
        ([1, 2, 3, 4], "1, 2, 3 and 1 more"),
        (range(982), "0, 1, 2 and 979 more"),
    ],
)
def test_lists_are_cut_and_counted(items: object, expected: str) -> None:
    assert shortened(items) == expected  # type: ignore[arg-type]


def test_the_limit_is_a_choice() -> None:
    assert shortened("abcd", limit=2) == "'a', 'b' and 2 more"

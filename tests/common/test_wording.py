"""Messages name things as their author knows them, and stay short."""

import re
from functools import partial, wraps

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.common.wording import cut, ending, function_name, shortened


@given(st.text(), st.integers(1, 300))
def test_a_short_text_is_left_alone_and_a_long_one_keeps_its_ends(text: str, length: int) -> None:
    line = " ".join(text.split())
    if len(line) <= length:
        assert cut(text, length) == line
        return
    match = re.fullmatch(r"(.*) \.\.\. \((\d+) characters more\) \.\.\. (.+)", cut(text, length), re.DOTALL)
    assert match is not None
    head, n_more, tail = match.groups()
    assert len(head) + len(tail) == length
    assert line.startswith(head)
    assert line.endswith(tail)
    assert int(n_more) == len(line) - length


def test_what_is_left_out_is_counted() -> None:
    assert cut("abcdefghij" * 10, 9) == "abcdef ... (91 characters more) ... hij"
    assert cut("two\n  lines") == "two lines"


def test_of_a_traceback_the_end_is_left() -> None:
    assert ending("  two\n lines ", 10) == "two\n lines"
    assert ending("0123456789\n" * 2, 4) == "(17 characters before) ... 6789"


def test_of_a_large_space_the_shape_is_left() -> None:
    space = spaces.Box(np.linspace(-1.0, 0.0, 900, dtype=np.float32), np.ones(900, np.float32))
    assert len(str(space)) > 9_000
    assert len(cut(space)) < 250
    assert cut(space).startswith("Box([-1.")
    assert cut(space).endswith("(900,), float32)")


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


@given(st.lists(st.one_of(st.text(), st.binary(), st.lists(st.floats())), max_size=50))
def test_a_list_is_never_long(items: list[object]) -> None:
    assert len(shortened(items)) < 3 * 110 + 20


class Expert:
    def act(self, observations):
        return observations

    def __call__(self, observations):
        return observations


def decorated(function):
    @wraps(function)
    def inner(*arguments):
        return function(*arguments)

    return inner


@decorated
def teach(observations):
    return observations


def test_functions_have_the_name_that_their_author_knows() -> None:
    here = "test_wording.py"
    line = Expert.act.__code__.co_firstlineno
    assert function_name(Expert().act) == f"Expert.act at {here}:{line}"
    assert function_name(partial(partial(Expert().act, 1), 2)) == f"Expert.act at {here}:{line}"
    assert function_name(teach).startswith(f"teach at {here}:")
    assert "<lambda> at test_wording.py:" in function_name(lambda observations: observations)
    # What has no line to be found at
    assert function_name(Expert()) == f"a {__name__}.Expert"
    assert function_name(np.negative) == "numpy.negative"
    assert function_name(len) == "builtins.len"
    assert function_name(Expert) == f"{__name__}.Expert"

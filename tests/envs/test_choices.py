"""Arguments that are one of a few words (sb3_rpd/envs/choices.py)."""

import re
from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.envs.choices import check_choice

WORDS = st.sampled_from([None, "", "rgb", "rgb+state", "RGB"])


@given(value=WORDS, choices=st.lists(WORDS, min_size=1))
def test_what_is_not_one_of_them_is_refused(value: str | None, choices: list[str | None]) -> None:
    is_known = any(value == choice for choice in choices)
    said = re.escape(f"; got {value!r}")
    with nullcontext() if is_known else pytest.raises(ValueError, match=rf"^obs must be one of .+{said}$"):
        check_choice("obs", value, choices)

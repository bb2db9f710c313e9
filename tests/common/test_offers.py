"""What the environments offer, in words."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from sb3_rpd.common.offers import describe_instructions, describe_observations, how_to_use


def test_an_array_and_named_arrays() -> None:
    array = np.zeros((5, 2, 3), np.float32)
    assert describe_observations(array) == "one array without a name (float32 of shape (2, 3))"
    named = {"frame": np.zeros((5, 8, 8, 3), np.uint8), "speed": np.zeros(5)}
    assert describe_observations(named) == "'frame' (uint8 of shape (8, 8, 3)), 'speed' (float64 of shape ())"
    assert describe_observations({}) == "nothing"
    assert how_to_use(named) == "take each array by its name, observations['frame']"
    assert how_to_use(array).startswith(
        "use observations as a numpy array, or give names to what the teacher sees with Teacher"
    )


def test_instructions_are_quoted_once() -> None:
    assert describe_instructions(None) == "no instruction"
    assert describe_instructions(["lift"] * 4) == "the instruction 'lift'"
    assert describe_instructions(["lift", "push", "lift", "pull"]) == "the instruction 'lift' and 2 others"


@given(
    st.dictionaries(st.text(), npst.arrays(np.float32, npst.array_shapes(max_dims=9, max_side=2)), max_size=40),
    st.lists(st.text(), min_size=1, max_size=40),
)
def test_descriptions_are_never_long(observations: dict[str, np.ndarray], instructions: list[str]) -> None:
    named = describe_observations(observations)
    assert len(named) < 350
    assert named.endswith(f"and {len(observations) - 8} more") == (len(observations) > 8)
    assert len(describe_instructions([text * 1000 for text in instructions])) < 250

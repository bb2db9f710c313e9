"""Every way in for an instruction takes the same texts and refuses the same things."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.instructions import read_instruction
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.stacking import stack_inputs
from sb3_rpd.teachers import GR00TTeacher, OpenPITeacher, OpenVLAServerTeacher, OpenVLATeacher, VLAgentsTeacher

TEXT = "hebe den Würfel"
TEXTS = [TEXT, TEXT.encode(), np.str_(TEXT), np.bytes_(TEXT.encode()), np.array(TEXT), np.array(TEXT.encode())]
TEXTS.append(np.array(TEXT, dtype=object))
NO_TEXTS = [
    (["go"], "of type list"),
    (("go",), "of type tuple"),
    (5, "of type int"),
    (np.array(["go"]), r"an array of shape \(1,\) and dtype <U2"),
    (np.array(1.5), r"an array of shape \(\) and dtype float64"),
    ({"language_instruction": "go"}, "of type dict"),
    (b"\xff", "bytes that are not UTF-8"),
]


def through_wrapper(instruction: Any) -> str:
    env = TeacherActionWrapper(gym.make("CartPole-v1"), observation={"x": lambda env: np.zeros(2)}, instruction=instruction)
    return stack_inputs([env.reset()[1]["teacher"]]).instructions[0]


WAYS_IN = {
    "wrapper": through_wrapper,
    "wrapper's callable": lambda text: through_wrapper(lambda env: text),
    "info": lambda text: stack_inputs([{"observation": np.zeros(2), "instruction": text}]).instructions[0],
    "questions": lambda text: Questions(np.zeros((1, 2)), [text]).instructions[0],
    "OpenVLATeacher": lambda text: OpenVLATeacher("nowhere", instruction=text).instruction,
    "OpenPITeacher": lambda text: OpenPITeacher("ws://there", instruction=text).instruction,
    "OpenVLAServerTeacher": lambda text: OpenVLAServerTeacher("http://there", instruction=text).instruction,
    "GR00TTeacher": lambda text: GR00TTeacher("there", instruction=text).instruction,
    "VLAgentsTeacher": lambda text: VLAgentsTeacher("there", 1, "octo", instruction=text).instruction,
}


@pytest.mark.parametrize("way_in", WAYS_IN.values(), ids=WAYS_IN)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: f"{type(text).__name__}")
def test_what_holds_one_text_becomes_a_plain_string(way_in: Any, text: Any) -> None:
    read = way_in(text)
    assert type(read) is str
    assert read == TEXT


@pytest.mark.parametrize("way_in", WAYS_IN.values(), ids=WAYS_IN)
@pytest.mark.parametrize(("value", "named"), NO_TEXTS, ids=[named for _, named in NO_TEXTS])
def test_anything_else_is_refused_by_name(way_in: Any, value: Any, named: str) -> None:
    with pytest.raises(TeacherError, match=named):
        way_in(value)


def test_a_callable_that_says_nothing_is_refused() -> None:
    with pytest.raises(TeacherError, match=r"is None, not a text.*TeacherActionWrapper\(env, instruction="):
        WAYS_IN["wrapper's callable"](None)


def test_there_is_one_text_for_each_state() -> None:
    for instructions in ("go", b"go"):
        with pytest.raises(TeacherError, match="one text, and 2 are needed"):
            Questions(np.zeros((2, 1)), instructions)
    with pytest.raises(TeacherError, match="3 instructions for 2 states"):
        Questions(np.zeros((2, 1)), ["go"] * 3)
    assert Questions(np.zeros((2, 1)), np.array(["go", "stop"])).instructions == ["go", "stop"]


@given(st.text())
def test_any_text_comes_through_as_bytes_too(text: str) -> None:
    # UTF-8 has no surrogates; a numpy array drops what is behind the last zero character
    encodable = text.encode(errors="ignore").decode()
    assert read_instruction(encodable.encode(), "it") == encodable
    assert read_instruction(np.array(encodable), "it") == encodable.rstrip("\0")

"""The one way in for instructions: whatever holds exactly one text becomes a string, all else is refused by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from sb3_rpd.common.errors import TeacherError


def read_instruction(instruction: Any, source: str) -> str:
    """
    :param instruction: A string (numpy's too), bytes in UTF-8, or an array without axes that holds one of them.
    :param source: Where it comes from, for messages.
    :return: It as a plain string.
    :raises TeacherError: if it is anything else.
    """
    text = instruction.item() if isinstance(instruction, np.ndarray) and instruction.ndim == 0 else instruction
    if isinstance(text, str):
        return str(text)
    if isinstance(text, bytes):
        try:
            return text.decode()
        except UnicodeDecodeError as error:
            raise TeacherError(f"{source} is bytes that are not UTF-8 ({error.reason}): decode it to a string.") from None
    raise TeacherError(
        f"{source} is {_shown(instruction)}, not a text. An instruction is one string for one state: give "
        "TeacherActionWrapper(env, instruction=...) a string, or a callable that returns one."
    )


def read_instructions(instructions: Sequence[Any], n_states: int) -> list[str]:
    """
    :param instructions: One for each state of a batch, each as ``read_instruction`` takes it.
    :param n_states: The number of states.
    :return: They as plain strings.
    :raises TeacherError: if there are not so many, or one of them is no text.
    """
    if isinstance(instructions, (str, bytes)):
        raise TeacherError(f"The instructions are one text, and {n_states} are needed: one for each state, as a list.")
    texts = [read_instruction(instruction, f"Instruction {row}") for row, instruction in enumerate(instructions)]
    if len(texts) != n_states:
        raise TeacherError(f"There are {len(texts)} instructions for {n_states} states.")
    return texts


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and dtype {value.dtype}"
    return f"of type {type(value).__name__}"

"""What the environments offer a teacher, in words: names, shapes, dtypes and the instruction."""

from collections.abc import Sequence

import numpy as np

from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import cut

#: How many observations are described by their names; a robot's cameras and states are fewer.
_DESCRIBED = 8


def describe_observations(observations: RawObservation) -> str:
    """
    Say what there is to see.

    :param observations: A batch of observations, first axis n.
    :return: For example ``'frame' (uint8, 224 x 224 x 3), 'state' (float32, 9)``, the shapes those of one state.
    """
    if not isinstance(observations, dict):
        return f"one array without a name ({_describe_array(observations)})"
    named = [f"{cut(repr(name), 60)} ({_describe_array(array)})" for name, array in list(observations.items())[:_DESCRIBED]]
    n_more = len(observations) - len(named)
    return (", ".join(named) or "nothing") + (f" and {n_more} more" if n_more else "")


def _describe_array(array: np.ndarray) -> str:
    array = np.asarray(array)
    return cut(f"{array.dtype}, {' x '.join(map(str, array.shape[1:])) or 'one number'}", 60)


def describe_instructions(instructions: Sequence[str] | None) -> str:
    """
    Say what there is to do.

    :param instructions: One for each state, or None.
    :return: For example ``the instruction 'lift the cube'``.
    """
    if instructions is None:
        return "no instruction"
    first = cut(repr(instructions[0]), 100)
    n_others = len(set(map(str, instructions))) - 1
    return f"the instruction {first}" + (f" and {n_others} others" if n_others else "")


def how_to_use(observations: RawObservation) -> str:
    """
    What a teacher that fails has perhaps got wrong about its observations.

    :param observations: The batch that it was given.
    :return: One sentence.
    """
    if isinstance(observations, dict):
        example = cut(repr(next(iter(observations), "name")), 60)
        return f"They come as a dict of arrays of shape (n, ...): take each by its name, observations[{example}]."
    return (
        "It comes as one array of shape (n, ...), the student's own observation: use it without a name, or give names to what "
        "the teacher sees with TeacherActionWrapper(env, observation={'name': function of the environment})."
    )

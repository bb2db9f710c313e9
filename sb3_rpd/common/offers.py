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
    :return: For example ``'frame' (uint8 of shape (224, 224, 3)), 'state' (float32 of shape (9,))``: one state's shapes.
    """
    if not isinstance(observations, dict):
        return f"one array without a name ({_describe_array(observations)})"
    named = [f"{cut(repr(name), 60)} ({_describe_array(array)})" for name, array in list(observations.items())[:_DESCRIBED]]
    n_more = len(observations) - len(named)
    return cut((", ".join(named) or "nothing") + (f" and {n_more} more" if n_more else ""), 300)


def _describe_array(array: np.ndarray) -> str:
    array = np.asarray(array)
    return cut(f"{array.dtype} of shape {array.shape[1:]}", 60)


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
    :return: What to write.
    """
    if isinstance(observations, dict):
        return f"take each array by its name, observations[{cut(repr(next(iter(observations), 'name')), 60)}]"
    return (
        "use observations as a numpy array, or give names to what the teacher sees with "
        "TeacherActionWrapper(env, observation={'name': function of the environment})"
    )

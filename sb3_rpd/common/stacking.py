"""What a teacher may see of several states, put into one batch."""

from collections.abc import Sequence

import numpy as np

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.type_aliases import RawObservation, TeacherInfo
from sb3_rpd.common.wording import cut, shortened


def stack_inputs(infos: Sequence[TeacherInfo]) -> Questions:
    """
    Put what the teacher may see of several states into one batch.

    :param infos: One for each state, each with an ``"observation"``.
    :return: The questions, without instructions where the environments give none.
    :raises TeacherError: if they do not offer the same things.
    """
    instructions = [info["instruction"] for info in infos if "instruction" in info]
    if 0 < len(instructions) < len(infos):
        raise TeacherError(f"{len(instructions)} of {len(infos)} environments give an instruction; give one to all or to none")
    observations = [info["observation"] for info in infos]
    first = observations[0]
    if not all(_offers_same(first, observation) for observation in observations):
        offers = sorted({_offer(observation) for observation in observations})
        raise TeacherError(f"the environments offer different things to the teacher: {cut(' and '.join(offers), 400)}")
    if not isinstance(first, dict):
        return Questions(stack("observation", observations), instructions or None)
    stacked = {name: stack(name, [observation[name] for observation in observations]) for name in first}
    return Questions(stacked, instructions or None)


def _offers_same(first: RawObservation, second: RawObservation) -> bool:
    if isinstance(first, dict):
        return isinstance(second, dict) and first.keys() == second.keys()
    return not isinstance(second, dict)


def _offer(observation: RawObservation) -> str:
    return cut(", ".join(sorted(observation)), 150) if isinstance(observation, dict) else "a single array"


def stack(name: str, arrays: list[np.ndarray]) -> np.ndarray:
    """
    :param name: What they are, for messages.
    :param arrays: n arrays.
    :return: The same with first axis n.
    :raises TeacherError: if their shapes differ.
    """
    arrays = [np.asarray(array) for array in arrays]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise TeacherError(f"the environments offer {cut(repr(name), 60)} in different shapes: {shortened(sorted(shapes))}")
    return np.array(arrays)

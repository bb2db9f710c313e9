"""What a teacher is asked about together, and how parts of it are answered apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sb3_rpd.common.instructions import read_instructions
from sb3_rpd.common.type_aliases import RawObservation

#: The name of an observation that is a single array and so has none of its own.
SINGLE_ARRAY = "observation"


@dataclass(frozen=True)
class Questions:
    """
    n states in which a teacher is to say what to do: what ``Teacher.predict`` is called with.

    :param observations: Arrays with first axis n: one, or several by name.
    :param instructions: One for each state, as ``read_instruction`` takes it, or None. They are kept as plain strings.
    :raises TeacherError: if there are instructions, and not one text for each state.
    """

    observations: RawObservation
    instructions: Sequence[str] | None = None

    def __post_init__(self) -> None:
        if self.instructions is not None:
            n_states = len(self) if self.named_observations else len(self.instructions)
            object.__setattr__(self, "instructions", read_instructions(self.instructions, n_states))

    def __len__(self) -> int:
        for array in self.named_observations.values():
            return len(array)
        return 0 if self.instructions is None else len(self.instructions)

    @property
    def named_observations(self) -> dict[str, np.ndarray]:
        """The observations by name; a single array is called ``SINGLE_ARRAY``."""
        return self.observations if isinstance(self.observations, dict) else {SINGLE_ARRAY: self.observations}

    @property
    def bytes_per_row(self) -> int:
        """How many bytes one state's arrays have; there must be one."""
        return sum(array.nbytes for array in self.named_observations.values()) // len(self)

    def told(self, instruction: str | None) -> "Questions":
        """:return: The same states, with this instruction for all of them where they have none."""
        if self.instructions is not None or instruction is None:
            return self
        return Questions(self.observations, [instruction] * len(self))

    def rows(self, start: int, stop: int) -> "Questions":
        """:return: The states ``start`` to ``stop``, the last one excluded. Their arrays are views."""
        observations: RawObservation
        if isinstance(self.observations, dict):
            observations = {name: array[start:stop] for name, array in self.observations.items()}
        else:
            observations = self.observations[start:stop]
        return Questions(observations, None if self.instructions is None else self.instructions[start:stop])

    def pieces(self, size: int) -> list["Questions"]:
        """:return: Contiguous pieces of ``size`` states each, the last one of what is left."""
        return [self.rows(start, start + size) for start in range(0, len(self), size)]

    def parts(self, count: int) -> list["Questions"]:
        """:return: So many contiguous parts, of the same size but for one state; without any where they are too few."""
        bounds = [len(self) * i // count for i in range(count + 1)]
        return [self.rows(start, stop) for start, stop in pairwise(bounds)]

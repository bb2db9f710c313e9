"""What the runs put around a teacher: a count of the questions, and a distribution for the methods that need one."""

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation


class CountedTeacher(Teacher):
    """
    Counts the states that a teacher is asked about, and ascribes a standard deviation to its answers if asked to.

    :param teacher: The teacher, which gives actions.
    :param std: The standard deviation of each dimension; None to leave the answers as they are.
    """

    def __init__(self, teacher: Teacher, std: float | None = None) -> None:
        self.teacher = teacher
        self.std = std
        self.gives_distribution = std is not None
        self.queries = 0

    def setup(self, action_space: spaces.Space) -> None:
        self.teacher.setup(action_space)

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray | TeacherOutput:
        actions = self.teacher.predict(observations, instructions)
        assert isinstance(actions, np.ndarray)
        self.queries += len(actions)
        return actions if self.std is None else TeacherOutput(actions, std=np.full_like(actions, self.std))

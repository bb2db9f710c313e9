"""What the runs put around a teacher: a count of the questions, and a distribution for the methods that need one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation


class CountedTeacher(Teacher):
    """
    Counts the states that a teacher is asked about, and ascribes a standard deviation to its answers if asked to.

    :param teacher: The teacher.
    :param std: The standard deviation of each dimension, if the teacher gives none; None to leave the answers as they are.
    """

    def __init__(self, teacher: Teacher, std: float | None = None) -> None:
        self.teacher = teacher
        self.std = None if teacher.gives_distribution else std
        self.gives_distribution = teacher.gives_distribution or std is not None
        self.queries = 0

    def setup(self, action_space: spaces.Space) -> None:
        self.teacher.setup(action_space)

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> TeacherOutput:
        answer = TeacherOutput.of(self.teacher.predict(observations, instructions))
        self.queries += len(answer.actions)
        return answer if self.std is None else replace(answer, std=np.full_like(answer.actions, self.std))

"""Teachers for `sb3-rpd serve` in the tests, found by their names as "teachers:factory"."""

import numpy as np

from sb3_rpd.teachers import DegradedTeacher, FunctionTeacher, Teacher, TeacherOutput


def first_two_doubled() -> Teacher:
    """Twice the first two numbers of the state."""
    return FunctionTeacher(lambda observations: 2.0 * observations[:, :2])


def noisy() -> Teacher:
    """A teacher that has to know the action space before it can answer."""
    return DegradedTeacher(FunctionTeacher(lambda observations: np.zeros((len(observations), 2))), noise_std=0.1)


class Gaussian(Teacher):
    """Gives a distribution, takes several observations and instructions; fails where an instruction says so."""

    gives_distribution = True

    def predict(self, observations, instructions=None):
        if instructions is not None and "raise" in instructions:
            raise RuntimeError("the teacher broke")
        brightness = observations["image"].mean(axis=(1, 2, 3))
        lengths = np.array([len(text) for text in instructions or [""] * len(brightness)])
        actions = np.stack([brightness, observations["state"][:, 0] + lengths], axis=1)
        return TeacherOutput(actions, std=np.full(actions.shape, 0.5))

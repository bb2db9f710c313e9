"""What the documentation's programs and commands name and a reader would have: teachers of his own."""

import numpy as np

from sb3_rpd.teachers import FunctionTeacher


def _push_upright(observations: np.ndarray) -> np.ndarray:
    cosine, sine, velocity = observations.T
    return np.clip(-8.0 * np.arctan2(sine, cosine) - velocity, -2.0, 2.0)[:, np.newaxis]


def make_teacher() -> FunctionTeacher:
    """A teacher for Pendulum."""
    return FunctionTeacher(_push_upright)

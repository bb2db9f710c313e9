"""Advantages, normalized over a whole rollout."""

import numpy as np


def normalized(advantages: np.ndarray) -> np.ndarray:
    """
    :param advantages: Those of a rollout, of any shape.
    :return: The same with mean 0 and standard deviation 1, as SB3 normalizes those of a minibatch; zeros stay zeros.
    """
    result: np.ndarray = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    return result

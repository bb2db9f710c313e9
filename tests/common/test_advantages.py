"""Advantages are normalized as SB3 does it, over the rollout."""

import numpy as np
import pytest

from sb3_rpd.common.advantages import normalized


@pytest.mark.parametrize("scale", [1.0, 1e-3, -2.0])
def test_by_hand(scale: float) -> None:
    # mean 2, squares of the deviations 4, 0, 4, 0
    result = normalized(scale * np.array([[0.0, 2.0], [4.0, 2.0]]))
    np.testing.assert_allclose(result, np.sign(scale) * np.sqrt(2.0) * np.array([[-1.0, 0.0], [1.0, 0.0]]), rtol=1e-4)


def test_zeros_stay_zeros() -> None:
    np.testing.assert_array_equal(normalized(np.zeros((3, 2), np.float32)), np.zeros((3, 2)))

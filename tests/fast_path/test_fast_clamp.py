"""The gradient of ``th.clamp`` with the installed torch."""

import math

import pytest
import torch as th

from sb3_rpd.fast_path.clamp import clamp_passes_at_its_bounds, passes_clamp


def test_clamp_is_that_of_the_installed_torch() -> None:
    release = tuple(map(int, th.__version__.split(".")[:2]))
    assert clamp_passes_at_its_bounds() == (release <= (2, 13))


@pytest.mark.parametrize("bounds", [(-0.5, 0.25), (0.25, 0.25), (0.0, 0.0)])
def test_gradient_of_clamp(bounds: tuple[float, float]) -> None:
    around = [math.nextafter(bound, direction) for bound in bounds for direction in (-1.0, bound, 1.0)]
    values = th.tensor([*around, 0.1, -3.0, 3.0, math.nan, math.inf], dtype=th.float64, requires_grad=True)
    (expected,) = th.autograd.grad(values.clamp(*bounds).sum(), values)
    values = values.detach()
    assert passes_clamp(values, values.clamp(*bounds), *bounds).double().tolist() == expected.tolist()

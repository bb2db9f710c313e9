"""The gradient of ``th.clamp``, which is not the same in all releases of torch."""

from functools import cache

import torch as th


@cache
def clamp_passes_at_its_bounds() -> bool:
    """:return: Whether ``th.clamp`` has a gradient at its bounds: up to torch 2.13 it is 1 there, from 2.14 on 0."""
    with th.inference_mode(False), th.enable_grad():
        bound = th.ones(1, requires_grad=True)
        (gradient,) = th.autograd.grad(bound.clamp(-1.0, 1.0), bound)
    return bool(gradient.item() == 1.0)


def passes_clamp(values: th.Tensor, clamped: th.Tensor, low: float, high: float) -> th.Tensor:
    """
    :param values: What ``th.clamp(values, low, high)`` is given.
    :param clamped: What it returns.
    :param low: Its lower bound.
    :param high: Its upper bound.
    :return: Where its gradient is 1 and not 0 with the installed torch, of the same shape.
    """
    if clamp_passes_at_its_bounds():
        return values == clamped
    return (values > low) & (values < high)

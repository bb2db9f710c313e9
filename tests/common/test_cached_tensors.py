"""Constant tensors: made once, for each type and device, and good for training wherever they were first asked for."""

import torch as th

from sb3_rpd.common.cached_tensors import constant

CPU = th.device("cpu")


def test_made_once_for_each_type() -> None:
    first = constant((1.0, 0.1), th.float64, CPU)
    assert first.tolist() == [1.0, 0.1]
    assert constant((1.0, 0.1), th.float64, CPU) is first
    other = constant((1.0, 0.1), th.float32, CPU)
    assert other.dtype == th.float32
    assert other is not first
    assert constant(((1.0, 2.0), (3.0, 4.0)), th.float32, CPU).tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_first_asked_for_in_inference_mode_and_then_trained_with() -> None:
    """A tensor made in inference mode cannot be saved for a backward pass."""
    with th.inference_mode():
        weights = constant((7.0, 8.5), th.float32, CPU)
    student = th.ones(2, requires_grad=True)
    (student * weights).sum().backward()
    assert student.grad is not None
    assert student.grad.tolist() == [7.0, 8.5]

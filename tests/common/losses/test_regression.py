"""Losses on the distance between actions, by hand."""

import math

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.distributions import (
    DiagGaussianDistribution,
)
from toy_distributions import evaluate, gaussian, gsde, labels_of, tensor

from sb3_rpd.common.losses import L1, MSE, Huber


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        # errors 0.5, -1.5 in the first row, 2, 0 in the second
        (MSE(), (0.25 + 2.25 + 4.0 + 0.0) / 4),
        (MSE(weights=(2.0, 0.5)), (0.5 + 1.125 + 8.0 + 0.0) / 4),
        (L1(), (0.5 + 1.5 + 2.0 + 0.0) / 4),
        (L1(weights=(0.0, 3.0)), (0.0 + 4.5 + 0.0 + 0.0) / 4),
        (Huber(), (0.125 + 1.0 + 1.5 + 0.0) / 4),
        (Huber(delta=2.0), (0.125 + 1.125 + 2.0 + 0.0) / 4),
        (Huber(weights=(1.0, 2.0), delta=0.5), (0.125 + 2 * 0.625 + 0.875 + 0.0) / 4),
    ],
)
def test_regression_is_a_weighted_mean_over_dimensions_and_rows(loss, expected):
    student = gaussian([[1.0, -1.0], [1.5, 0.25]])
    labels = labels_of([[0.5, 0.5], [-0.5, 0.25]])
    assert evaluate(loss, student, labels).item() == pytest.approx(expected, rel=1e-12)


def test_regression_ignores_the_standard_deviation():
    mean, log_std = tensor([[0.3, -0.2]]).requires_grad_(), tensor([0.1, 0.2]).requires_grad_()
    student = DiagGaussianDistribution(2).proba_distribution(mean, log_std)
    gradient_of_mean, gradient_of_std = th.autograd.grad(
        evaluate(MSE(), student, labels_of([[1.0, 1.0]])), (mean, log_std), allow_unused=True
    )
    # d/dm of ((m - a)^2 summed) / 2 is m - a
    np.testing.assert_allclose(gradient_of_mean, [[-0.7, -1.2]], rtol=1e-12)
    assert gradient_of_std is None


def test_regression_under_squashing_compares_the_squashed_mean():
    labels = labels_of([[0.5, -1.0]])
    expected = ((math.tanh(0.8) - 0.5) ** 2 + (math.tanh(-3.0) + 1.0) ** 2) / 2
    assert evaluate(MSE(), gsde([[0.8, -3.0]]), labels).item() == pytest.approx(expected, rel=1e-12)
    unsquashed = ((0.8 - 0.5) ** 2 + (-3.0 + 1.0) ** 2) / 2
    assert evaluate(MSE(), gsde([[0.8, -3.0]], squash_output=False), labels).item() == pytest.approx(unsquashed, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Huber(delta=0.0), r"delta must be finite and > 0, not 0.0"),
    ],
)
def test_wrong_delta_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

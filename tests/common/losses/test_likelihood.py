"""The negative log-likelihood, by hand."""

import math

import pytest
import torch as th
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)
from toy_distributions import evaluate, gaussian, gsde, labels_of, tensor

from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses import NLL


def test_nll_of_a_gaussian():
    student, labels = gaussian([[1.0, -1.0]], std=2.0), labels_of([[0.0, 3.0]])
    by_dimension = [math.log(2.0 * math.sqrt(2.0 * math.pi)) + error**2 / 8.0 for error in (1.0, 4.0)]
    assert evaluate(NLL(), student, labels).item() == pytest.approx(sum(by_dimension), rel=1e-12)
    weighted = 0.5 * by_dimension[0] + 3.0 * by_dimension[1]
    assert evaluate(NLL(weights=(0.5, 3.0)), student, labels).item() == pytest.approx(weighted, rel=1e-12)


def test_nll_of_a_squashed_gaussian_is_that_of_the_change_of_variables():
    mean, std, action = 0.4, 0.7, -0.6
    before_tanh = math.atanh(action)
    log_density = -0.5 * ((before_tanh - mean) / std) ** 2 - math.log(std * math.sqrt(2.0 * math.pi))
    # SB3 adds 1e-6 to the derivative of the tanh
    expected = -(log_density - math.log(1.0 - action**2 + 1e-6))
    student, labels = gsde([[mean]], std=std), labels_of([[action]])
    assert evaluate(NLL(), student, labels).item() == pytest.approx(expected, rel=1e-9)
    assert evaluate(NLL(weights=(2.0,)), student, labels).item() == pytest.approx(2.0 * expected, rel=1e-9)


def test_nll_of_discrete_actions_that_come_as_floats():
    student = CategoricalDistribution(3).proba_distribution(tensor([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]]).log())
    labels = labels_of([[2.0], [0.0]])
    assert evaluate(NLL(), student, labels).item() == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2, rel=1e-12)
    assert evaluate(NLL(weights=(2.0,)), student, labels).item() == pytest.approx(-math.log(0.05), rel=1e-12)


def test_nll_of_multidiscrete_actions():
    student = MultiCategoricalDistribution([3, 2]).proba_distribution(tensor([[0.2, 0.3, 0.5, 0.9, 0.1]]).log())
    labels = labels_of([[1.0, 1.0]])
    assert evaluate(NLL(), student, labels).item() == pytest.approx(-math.log(0.3) - math.log(0.1), rel=1e-12)
    weighted = -2.0 * math.log(0.3) - 0.5 * math.log(0.1)
    assert evaluate(NLL(weights=(2.0, 0.5)), student, labels).item() == pytest.approx(weighted, rel=1e-12)


def test_nll_of_bits():
    student = BernoulliDistribution(2).proba_distribution(tensor([[math.log(3.0), math.log(0.25)]]))
    labels = labels_of([[1.0, 0.0]])
    assert evaluate(NLL(), student, labels).item() == pytest.approx(-math.log(0.75) - math.log(0.8), rel=1e-12)
    weighted = -3.0 * math.log(0.75) - 0.5 * math.log(0.8)
    assert evaluate(NLL(weights=(3.0, 0.5)), student, labels).item() == pytest.approx(weighted, rel=1e-12)


@pytest.mark.parametrize("weights", [None, (1.0, 2.0)])
def test_nll_of_saturated_labels_under_squashing_is_finite(weights):
    mean = th.zeros(2, 2, requires_grad=True)
    student = StateDependentNoiseDistribution(2, squash_output=True)
    student.proba_distribution(mean, th.full((1, 2), -2.0), th.ones(2, 1))
    labels = TeacherLabels(th.tensor([[1.0, -1.0], [-1.0, 1.0]]), th.tensor([True, True]))
    loss = NLL(weights)(student, labels, th.ones(2), 0.2)
    (gradient,) = th.autograd.grad(loss, mean)
    assert loss.isfinite()
    assert gradient.isfinite().all()
    assert (gradient.sign() == -labels.actions.sign()).all()

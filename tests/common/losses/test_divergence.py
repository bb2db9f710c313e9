"""The KL divergence, by hand and by torch.distributions."""

import math

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    MultiCategoricalDistribution,
)
from toy_distributions import evaluate, gaussian, labels_of, tensor

from sb3_rpd.common.losses import KL


@pytest.mark.parametrize(
    ("direction", "expected"),
    [
        # teacher N(0, 1), student N(1, 2): by hand
        ("forward", math.log(2.0) + (1.0 + 1.0) / 8.0 - 0.5),
        ("reverse", -math.log(2.0) + (4.0 + 1.0) / 2.0 - 0.5),
    ],
)
@pytest.mark.parametrize(("ratio", "factor"), [(1.0, 1.0), (1.7, 1.7), (0.9, 0.9), (0.3, 0.8)])
def test_kl_of_gaussians_times_the_clipped_ratio(direction, expected, ratio, factor):
    labels = labels_of([[0.0]], std=[[1.0]])
    student = gaussian([[1.0]], std=2.0)
    assert evaluate(KL(direction=direction), student, labels, tensor([ratio])).item() == pytest.approx(expected * factor)
    weighted = KL(weights=(3.0,), direction=direction)
    assert evaluate(weighted, student, labels, tensor([ratio])).item() == pytest.approx(3.0 * expected * factor)


@pytest.mark.parametrize(("ratio", "expected"), [(1.5, 1.0), (0.5, 0.0)])
def test_gradient_of_kl_goes_through_an_unclipped_ratio(ratio, expected):
    labels = labels_of([[0.0]], std=[[1.0]])
    ratios = tensor([ratio]).requires_grad_()
    (gradient,) = th.autograd.grad(evaluate(KL(), gaussian([[1.0]], std=2.0), labels, ratios), ratios)
    divergence = math.log(2.0) + 2.0 / 8.0 - 0.5
    assert gradient.item() == pytest.approx(expected * divergence)


def kl_by_torch(direction, teacher, student):
    pair = (teacher, student) if direction == "forward" else (student, teacher)
    return th.distributions.kl_divergence(*pair)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_kl_is_that_of_torch_distributions(direction):
    generator = np.random.default_rng(0)
    loss = KL(direction=direction)

    mean, std, teacher_mean = generator.normal(size=(3, 5, 2))
    std, teacher_std = np.exp(std[:1]), np.exp(generator.normal(size=(5, 2)))
    expected = kl_by_torch(
        direction,
        th.distributions.Normal(tensor(teacher_mean), tensor(teacher_std)),
        th.distributions.Normal(tensor(mean), tensor(std).expand(5, 2)),
    ).sum(dim=1)
    actual = evaluate(loss, gaussian(mean, std[0]), labels_of(teacher_mean, std=teacher_std))
    assert actual.item() == pytest.approx(expected.mean().item(), rel=1e-12)

    student, teacher = generator.normal(size=(2, 5, 5))
    actions = np.zeros((5, 1))
    categorical = th.distributions.Categorical
    expected = kl_by_torch(direction, categorical(logits=tensor(teacher)), categorical(logits=tensor(student)))
    actual = evaluate(loss, CategoricalDistribution(5).proba_distribution(tensor(student)), labels_of(actions, logits=teacher))
    assert actual.item() == pytest.approx(expected.mean().item(), rel=1e-12)

    split = (slice(0, 3), slice(3, 5))
    expected = sum(
        kl_by_torch(direction, categorical(logits=tensor(teacher[:, part])), categorical(logits=tensor(student[:, part])))
        for part in split
    )
    distribution = MultiCategoricalDistribution([3, 2]).proba_distribution(tensor(student))
    actual = evaluate(loss, distribution, labels_of(np.zeros((5, 2)), logits=teacher))
    assert actual.item() == pytest.approx(expected.mean().item(), rel=1e-12)

    bernoulli = th.distributions.Bernoulli
    expected = kl_by_torch(direction, bernoulli(logits=tensor(teacher)), bernoulli(logits=tensor(student))).sum(dim=1)
    actual = evaluate(loss, BernoulliDistribution(5).proba_distribution(tensor(student)), labels_of(teacher, logits=teacher))
    assert actual.item() == pytest.approx(expected.mean().item(), rel=1e-12)


@pytest.mark.parametrize("direction", ["forward", "reverse"])
def test_kl_is_finite_where_the_teacher_is_certain(direction):
    logits = tensor([[0.5, -0.5, 0.0]]).requires_grad_()
    student = CategoricalDistribution(3).proba_distribution(logits)
    loss = evaluate(KL(direction=direction), student, labels_of([[0.0]], logits=[[0.0, -math.inf, -math.inf]]))
    (gradient,) = th.autograd.grad(loss, logits)
    probabilities = th.softmax(logits.detach(), dim=1)[0]
    expected = -probabilities[0].log()
    if direction == "reverse":
        # the excluded actions count as having probability 1e-8
        expected = (probabilities * probabilities.log()).sum() - (probabilities[1:] * math.log(1e-8)).sum()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert gradient.isfinite().all()

    mean = tensor([[0.3]]).requires_grad_()
    loss = evaluate(KL(direction=direction, min_std=0.1), gaussian(mean), labels_of([[0.0]], std=[[0.0]]))
    (gradient,) = th.autograd.grad(loss, mean)
    # a standard deviation of 0 counts as 0.1
    expected = {"forward": math.log(10.0) + (0.01 + 0.09) / 2 - 0.5, "reverse": math.log(0.1) + 1.09 / 0.02 - 0.5}[direction]
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert gradient.item() == pytest.approx({"forward": 0.3, "reverse": 30.0}[direction], rel=1e-12)


@pytest.mark.parametrize(
    ("student", "missing"),
    [
        (gaussian([[0.0]]), "standard deviation"),
        (CategoricalDistribution(2).proba_distribution(tensor([[0.0, 0.0]])), "logits"),
    ],
)
def test_kl_without_the_teachers_distribution_says_what_is_missing(student, missing):
    with pytest.raises(ValueError, match=rf"{missing}.*take a teacher that returns it"):
        evaluate(KL(), student, labels_of([[0.0]]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: KL(direction="teacher"), r'must be "forward", KL\(teacher \|\| student\), or "reverse".*not \'teacher\''),
        (lambda: KL(min_std=-1.0), r"min_std must be finite and > 0, not -1.0"),
    ],
)
def test_wrong_arguments_of_kl_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""Imitation losses against numbers worked out by hand, torch.distributions and finite differences."""

import math
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
    StateDependentNoiseDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from toy_distributions import gaussian, gsde, labels_of, tensor

from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.loss_names import make_imitation_loss
from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber, ImitationLoss

BOX = spaces.Box(-1.0, 1.0, (2,))
END_EFFECTOR = spaces.Box(-1.0, 1.0, (7,))
DISCRETE = spaces.Discrete(4)
MULTI_DISCRETE = spaces.MultiDiscrete([3, 2])
MULTI_BINARY = spaces.MultiBinary(3)
PLANE = {"left": (0,), "right": (1,)}


def evaluate(loss, distribution, labels, ratio=None, clip_range=0.2):
    ratio = th.ones(len(labels.actions), dtype=th.float64) if ratio is None else ratio
    return loss(distribution, labels, ratio, clip_range)


# ------------------------------------------------------------------ regression


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


# ------------------------------------------------------------------ losses of one's own


@pytest.mark.parametrize(
    ("reduce", "returned"),
    [
        (lambda terms: terms.mean(), r"a tensor of shape \(\)"),
        (lambda terms: terms, r"a tensor of shape \(3, 2\)"),
        (lambda terms: terms.mean(dim=0), r"a tensor of shape \(2,\)"),
        (lambda terms: terms.mean(dim=1, keepdim=True), r"a tensor of shape \(3, 1\)"),
        (lambda terms: terms.mean().item(), "a float"),
    ],
)
def test_own_loss_that_is_not_one_number_for_each_row_is_refused(reduce, returned):
    class Own(ImitationLoss):
        def per_sample(self, distribution, labels, ratio, clip_range):
            return reduce((distribution.mode() - labels.actions) ** 2)

    labels = labels_of([[0.5, 0.5], [0.0, 0.0], [1.0, 0.0]], labeled=[True, False, True])
    with pytest.raises(ValueError, match=rf"Own.per_sample returned {returned}, but .*shape \(batch,\), here \(3,\)"):
        evaluate(Own(), gaussian([[1.0, -1.0], [1.5, 0.25], [0.0, 0.0]]), labels)


# ------------------------------------------------------------------ negative log-likelihood


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


# ------------------------------------------------------------------ KL divergence


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


# ------------------------------------------------------------------ cosine


def test_cosine_is_one_minus_the_cosine_of_each_groups_angle():
    teacher = [0.3, 0.0, 0.0, 0.0, 0.2, 0.0, 1.0]
    same_direction = [0.9, 0.0, 0.0, 0.0, 0.1, 0.0, -1.0]
    opposite_and_right_angle = [-0.1, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0]
    half_a_right_angle = [0.2, 0.0, 0.2, 0.0, 0.3, -0.3, 0.0]
    students = gaussian([same_direction, opposite_and_right_angle, half_a_right_angle])
    labels = labels_of([teacher] * 3)
    per_sample = Cosine().per_sample(students, labels, th.ones(3), 0.2)
    np.testing.assert_allclose(per_sample, [0.0, (2.0 + 1.0) / 2, 1.0 - math.sqrt(0.5)], atol=1e-12)


def test_cosine_is_torchs_cosine_similarity_group_by_group():
    generator = np.random.default_rng(1)
    student, teacher = generator.normal(size=(2, 6, 7))
    similarity = th.nn.functional.cosine_similarity
    groups = {"arm": (0, 2, 5), "rest": [1, 6]}
    expected = sum(1.0 - similarity(tensor(student)[:, list(g)], tensor(teacher)[:, list(g)]) for g in groups.values()) / 2
    per_sample = Cosine(groups=groups).per_sample(gaussian(student), labels_of(teacher), th.ones(6), 0.2)
    np.testing.assert_allclose(per_sample, expected, rtol=1e-12)
    # weights scale the squares, so that their roots scale the vectors
    weights = generator.uniform(0.1, 2.0, size=7)
    scaled = Cosine(groups=groups).per_sample(
        gaussian(student * np.sqrt(weights)), labels_of(teacher * np.sqrt(weights)), th.ones(6), 0.2
    )
    weighted = Cosine(weights=tuple(weights), groups=groups).per_sample(gaussian(student), labels_of(teacher), th.ones(6), 0.2)
    np.testing.assert_allclose(weighted, scaled, rtol=1e-12)


def test_cosine_leaves_the_gripper_and_the_speed_alone():
    generator = np.random.default_rng(2)
    mean = tensor(generator.normal(size=(4, 7))).requires_grad_()
    (gradient,) = th.autograd.grad(evaluate(Cosine(), gaussian(mean), labels_of(generator.normal(size=(4, 7)))), mean)
    np.testing.assert_array_equal(gradient[:, 6], np.zeros(4))
    # moving along the vector itself changes its length only
    along = (gradient * mean.detach()).reshape(-1)[: 4 * 7].reshape(4, 7)
    np.testing.assert_allclose(along[:, :3].sum(dim=1), np.zeros(4), atol=1e-12)
    np.testing.assert_allclose(along[:, 3:6].sum(dim=1), np.zeros(4), atol=1e-12)


def test_cosine_of_a_teacher_at_rest_is_zero_without_gradient():
    mean = tensor([[0.5, 0.5, 0.5, 0.0, 0.0, 0.3, 0.0]]).requires_grad_()
    labels = labels_of([[0.0, 0.0, 0.0, 0.0, 0.4, 0.0, 1.0]])
    loss = evaluate(Cosine(), gaussian(mean), labels)
    (gradient,) = th.autograd.grad(loss, mean)
    # half of the mean over the two groups: the rotations are at a right angle
    assert loss.item() == pytest.approx(0.5, rel=1e-12)
    np.testing.assert_array_equal(gradient[0, :3], np.zeros(3))
    assert gradient[0, 4].item() < 0.0


def test_cosine_of_a_student_at_rest_points_it_the_teachers_way_with_a_bounded_gradient():
    mean = th.zeros(1, 7, dtype=th.float64, requires_grad=True)
    labels = labels_of([[0.3, 0.0, 0.4, 0.0, 0.0, 0.0, 1.0]])
    loss = evaluate(Cosine(min_norm=1e-3), gaussian(mean), labels)
    (gradient,) = th.autograd.grad(loss, mean)
    assert loss.item() == pytest.approx(0.5)
    np.testing.assert_allclose(gradient[0], [-0.6 * 500.0, 0.0, -0.8 * 500.0, 0.0, 0.0, 0.0, 0.0], rtol=1e-12)


def test_cosine_takes_float32_labels_for_a_float64_student():
    labels = labels_of(np.ones((1, 7)))
    single = replace(labels, actions=labels.actions.float())
    assert evaluate(Cosine(), gaussian(np.ones((1, 7))), single).item() == pytest.approx(0.0, abs=1e-6)


# ------------------------------------------------------------------ gradients, masks, nothing labeled

ALL_BOX_LOSSES = [
    MSE(),
    MSE(weights=(0.5, 2.0)),
    L1(),
    Huber(delta=0.3),
    NLL(),
    NLL(weights=(0.5, 2.0)),
    KL(),
    KL(weights=(0.5, 2.0), direction="reverse"),
    Cosine(groups={"plane": (0, 1)}),
]
ALL_DISCRETE_LOSSES = [NLL(), KL(), KL(direction="reverse")]


@pytest.mark.parametrize("loss", ALL_BOX_LOSSES, ids=repr)
@pytest.mark.parametrize("make_student", [gaussian, gsde])
def test_gradients_for_a_box_are_those_of_finite_differences(loss, make_student):
    if isinstance(loss, KL) and make_student is gsde:
        make_student = lambda mean: gsde(mean, squash_output=False)  # noqa: E731
    generator = np.random.default_rng(3)
    labels = labels_of(generator.uniform(-0.9, 0.9, (3, 2)), [True, False, True], std=np.exp(generator.normal(size=(3, 2))))
    mean = tensor(generator.normal(size=(3, 2))).requires_grad_()
    ratio = tensor([1.3, 0.9, 0.5]).requires_grad_()
    assert th.autograd.gradcheck(lambda mean, ratio: evaluate(loss, make_student(mean), labels, ratio), (mean, ratio))


@pytest.mark.parametrize("loss", [NLL(), KL(), KL(direction="reverse")], ids=repr)
def test_gradients_of_the_standard_deviation_are_those_of_finite_differences(loss):
    labels = labels_of([[0.3, -0.2], [0.1, 0.9]], std=[[0.5, 1.5], [1.0, 0.7]])
    log_std = tensor([0.2, -0.4]).requires_grad_()
    mean = tensor([[0.1, 0.2], [-0.5, 0.0]])
    assert th.autograd.gradcheck(
        lambda log_std: evaluate(loss, DiagGaussianDistribution(2).proba_distribution(mean, log_std), labels), log_std
    )


#: Space, distribution from logits, number of logits.
DISCRETE_CASES = [
    (DISCRETE, lambda logits: CategoricalDistribution(4).proba_distribution(logits), 4),
    (MULTI_DISCRETE, lambda logits: MultiCategoricalDistribution([3, 2]).proba_distribution(logits), 5),
    (MULTI_BINARY, lambda logits: BernoulliDistribution(3).proba_distribution(logits), 3),
]


def sample_actions(space, n, seed):
    space.seed(seed)
    return np.stack([space.sample() for _ in range(n)]).reshape(n, -1)


@pytest.mark.parametrize("loss", ALL_DISCRETE_LOSSES, ids=repr)
@pytest.mark.parametrize(("space", "make_student", "n_logits"), DISCRETE_CASES)
def test_gradients_for_discrete_spaces_are_those_of_finite_differences(loss, space, make_student, n_logits):
    student_logits, teacher_logits = np.random.default_rng(4).normal(size=(2, 3, n_logits))
    labels = labels_of(sample_actions(space, 3, seed=0), [True, True, False], logits=teacher_logits)
    student_logits = tensor(student_logits).requires_grad_()
    assert th.autograd.gradcheck(lambda logits: evaluate(loss, make_student(logits), labels), student_logits)


def check_mask(mask, value_and_gradient):
    """Hold a batch with masked rows against its labeled rows alone; masked rows must get no gradient."""
    value, gradient = value_and_gradient(np.arange(len(mask)))
    assert not gradient[~mask].any()
    if mask.any():
        expected_value, expected_gradient = value_and_gradient(np.flatnonzero(mask))
        assert value == pytest.approx(expected_value, rel=1e-12, abs=1e-15)
        np.testing.assert_allclose(gradient[mask], expected_gradient, rtol=1e-12, atol=1e-15)
    else:
        assert value == 0.0


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_unlabeled_rows_change_neither_value_nor_gradient(data):
    loss = data.draw(st.sampled_from(ALL_BOX_LOSSES))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=6)))
    squash_output = data.draw(st.booleans()) and not isinstance(loss, KL)
    n = len(mask)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    means, stds, ratios = generator.normal(size=(n, 2)), np.exp(generator.normal(size=(n, 2))), generator.uniform(0.5, 1.5, n)
    actions = generator.uniform(-1.0, 1.0, (n, 2))
    actions[~mask], stds[~mask] = 0.0, 1.0
    # whatever PPO's ratio is where there is no label, it stays out
    ratios[~mask] = np.inf

    def value_and_gradient(rows):
        mean = tensor(means[rows]).requires_grad_()
        student = gsde(mean) if squash_output else gaussian(mean)
        labels = labels_of(actions[rows], mask[rows].tolist(), std=stds[rows])
        value = evaluate(loss, student, labels, tensor(ratios[rows]))
        return value.item(), th.autograd.grad(value, mean)[0].numpy()

    check_mask(mask, value_and_gradient)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_unlabeled_rows_change_nothing_in_discrete_spaces_either(data):
    loss = data.draw(st.sampled_from(ALL_DISCRETE_LOSSES))
    space, make_student, n_logits = data.draw(st.sampled_from(DISCRETE_CASES))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=6)))
    seed = data.draw(st.integers(0, 2**31))
    student_logits, teacher_logits = np.random.default_rng(seed).normal(size=(2, len(mask), n_logits))
    actions = sample_actions(space, len(mask), seed)
    actions[~mask], teacher_logits[~mask] = 0, 1.0

    def value_and_gradient(rows):
        logits = tensor(student_logits[rows]).requires_grad_()
        labels = labels_of(actions[rows], mask[rows].tolist(), logits=teacher_logits[rows])
        value = evaluate(loss, make_student(logits), labels)
        return value.item(), th.autograd.grad(value, logits)[0].numpy()

    check_mask(mask, value_and_gradient)


# ------------------------------------------------------------------ with real policies


def real_case(space, n_logits, use_sde):
    """:return: A policy for that space, and labels as a rollout buffer gives them."""
    th.manual_seed(0)
    observation_space = spaces.Box(-1.0, 1.0, (3,))
    policy_kwargs = {"use_sde": True, "squash_output": True} if use_sde else {}
    policy = ActorCriticPolicy(observation_space, space, lambda _: 1e-3, **policy_kwargs)
    actions = th.tensor(sample_actions(space, 4, seed=0), dtype=th.float32)
    labeled = th.tensor([True, False, True, True])
    logits = th.linspace(-2.0, 2.0, n_logits).expand(4, -1)
    labels = TeacherLabels(actions * labeled.unsqueeze(1), labeled, th.ones_like(actions), logits)
    return policy, labels


def evaluate_policy(loss, policy, labels):
    """:return: The imitation loss after a forward pass on four observations, as PPO makes it."""
    actions = labels.actions
    if isinstance(policy.action_space, spaces.Discrete):
        actions = actions.long().flatten()
    policy.evaluate_actions(th.linspace(-1, 1, 12).reshape(4, 3), actions)
    return loss(policy.action_dist, labels, th.ones(4), 0.2)


@pytest.mark.parametrize(
    ("space", "n_logits", "use_sde", "names"),
    [
        (END_EFFECTOR, 7, False, ["auto", "mse", "l1", "huber", "nll", "bc", "kl", "cosine"]),
        (END_EFFECTOR, 7, True, ["auto", "mse", "l1", "huber", "nll", "bc", "cosine"]),
        (DISCRETE, 4, False, ["auto", "nll", "bc", "kl"]),
        (MULTI_DISCRETE, 5, False, ["auto", "nll", "bc", "kl"]),
        (MULTI_BINARY, 3, False, ["auto", "nll", "bc", "kl"]),
    ],
)
def test_every_loss_pulls_a_real_policy_towards_its_teacher(space, n_logits, use_sde, names):
    for name in names:
        policy, labels = real_case(space, n_logits, use_sde)
        loss = make_imitation_loss(name, space, policy.squash_output)
        before = evaluate_policy(loss, policy, labels)
        before.backward()
        with th.no_grad():
            for parameter in policy.action_net.parameters():
                assert parameter.grad.isfinite().all()
                parameter -= 1e-3 * parameter.grad
        assert before.shape == ()
        assert evaluate_policy(loss, policy, labels).item() < before.item(), name


# ------------------------------------------------------------------ arguments, losses of one's own, pickling


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MSE(weights=(1.0, -1.0)), r"finite and >= 0, not \(1.0, -1.0\)"),
        (lambda: NLL(weights=(math.nan,)), r"finite and >= 0"),
        (lambda: Huber(delta=0.0), r"delta must be finite and > 0, not 0.0"),
        (lambda: KL(direction="teacher"), r'must be "forward", KL\(teacher \|\| student\), or "reverse".*not \'teacher\''),
        (lambda: KL(min_std=-1.0), r"min_std must be finite and > 0, not -1.0"),
        (lambda: Cosine(min_norm=0.0), r"min_norm must be finite and at least 1e-12, not 0.0"),
        (lambda: Cosine(groups={}), r"at least one group"),
        (lambda: Cosine(groups={"arm": ()}), r"'arm' must name each of its dimensions once, not \(\)"),
        (lambda: Cosine(groups={"arm": (1, 1)}), r"'arm' must name each of its dimensions once, not \(1, 1\)"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_loss_of_ones_own_is_a_few_lines():
    class Sign(ImitationLoss):
        def per_sample(self, distribution, labels, ratio, clip_range):
            return (distribution.mode() * labels.actions < 0).double().mean(dim=1) * ratio

    loss = make_imitation_loss(Sign(), BOX, squash_output=False)
    labels = labels_of([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]], [True, True, False])
    assert evaluate(loss, gaussian([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]), labels).item() == pytest.approx(0.75)
    assert not loss.needs_distribution


@pytest.mark.parametrize("loss", [*ALL_BOX_LOSSES, Cosine(groups=PLANE), Huber(delta=0.1)], ids=repr)
def test_pickling(loss):
    restored = pickle.loads(pickle.dumps(loss))
    assert restored == loss
    labels = labels_of([[0.5, -0.5]], std=[[1.0, 2.0]])
    assert evaluate(restored, gaussian([[0.1, 0.2]]), labels).item() == evaluate(loss, gaussian([[0.1, 0.2]]), labels).item()

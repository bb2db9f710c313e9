"""The cosine loss, by hand and by torch."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch as th
from toy_distributions import evaluate, gaussian, labels_of, tensor

from sb3_rpd.common.losses import Cosine


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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Cosine(min_norm=0.0), r"min_norm must be finite and at least 1e-12, not 0.0"),
        (lambda: Cosine(groups={}), r"at least one group"),
        (lambda: Cosine(groups={"arm": ()}), r"'arm' must name each of its dimensions once, not \(\)"),
        (lambda: Cosine(groups={"arm": (1, 1)}), r"'arm' must name each of its dimensions once, not \(1, 1\)"),
    ],
)
def test_wrong_arguments_of_cosine_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()

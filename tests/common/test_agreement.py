"""How often the student does what the teacher would do."""

import math

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    MultiCategoricalDistribution,
)
from toy_distributions import gaussian, gsde, labels_of, tensor

from sb3_rpd.common.agreement import agreement

BOX = spaces.Box(-1.0, 1.0, (2,))
MULTI_DISCRETE = spaces.MultiDiscrete([3, 2])
MULTI_BINARY = spaces.MultiBinary(3)


def test_agreement_in_a_box_is_within_a_tenth_of_half_its_width():
    space = spaces.Box(np.array([-1.0, 0.0, -np.inf], dtype=np.float32), np.array([1.0, 10.0, np.inf], dtype=np.float32))
    # tolerances 0.1, 0.5 and 0.1
    student = gaussian([[0.09, 5.4, 7.0], [0.11, 4.6, 7.2], [0.0, 0.0, 0.0]])
    labels = labels_of([[0.0, 5.0, 7.09], [0.0, 5.0, 7.0], [0.0, 0.0, 0.0]], [True, True, False])
    assert agreement(student, labels, space).item() == pytest.approx(4 / 6)


def test_agreement_in_an_action_of_several_axes_and_with_the_largest_bounds():
    largest = np.finfo(np.float32).max
    space = spaces.Box(-largest, largest, (2, 1))
    assert agreement(gaussian([[1e30, -1e30]]), labels_of([[0.0, 0.0]]), space).item() == 1.0


def test_agreement_under_squashing_is_in_units_of_one():
    space = spaces.Box(-10.0, 10.0, (2,))
    student = gsde([[math.atanh(0.55), math.atanh(0.75)]])
    assert agreement(student, labels_of([[0.5, 0.5]]), space).item() == 0.5


def test_agreement_in_discrete_spaces_is_of_all_components():
    student = CategoricalDistribution(3).proba_distribution(tensor([[0.0, 1.0, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    labels = labels_of([[1.0], [1.0], [0.0]], [True, True, False])
    assert agreement(student, labels, spaces.Discrete(3)).item() == 0.5

    student = MultiCategoricalDistribution([3, 2]).proba_distribution(tensor([[0.0, 1.0, 0.0, 0.0, 1.0]] * 4))
    labels = labels_of([[1.0, 1.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    assert agreement(student, labels, MULTI_DISCRETE).item() == 0.5

    student = BernoulliDistribution(3).proba_distribution(tensor([[1.0, -1.0, 1.0]] * 3))
    labels = labels_of([[1.0, 0.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.0, 1.0]], [True, True, True])
    assert agreement(student, labels, MULTI_BINARY).item() == pytest.approx(2 / 3)


def test_agreement_of_nothing_is_zero_and_never_has_a_gradient():
    mean = th.zeros(2, 2, dtype=th.float64, requires_grad=True)
    nothing = agreement(gaussian(mean), labels_of(np.zeros((2, 2)), [False, False]), BOX)
    assert nothing.item() == 0.0
    assert not nothing.requires_grad

"""What all imitation losses have in common: one number for each row, weights, losses of one's own."""

import math

import pytest
from gymnasium import spaces
from toy_distributions import evaluate, gaussian, labels_of

from sb3_rpd.common.loss_names import make_imitation_loss
from sb3_rpd.common.losses import MSE, NLL, ImitationLoss

BOX = spaces.Box(-1.0, 1.0, (2,))


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


def test_a_loss_of_ones_own_is_a_few_lines():
    class Sign(ImitationLoss):
        def per_sample(self, distribution, labels, ratio, clip_range):
            return (distribution.mode() * labels.actions < 0).double().mean(dim=1) * ratio

    loss = make_imitation_loss(Sign(), BOX, squash_output=False)
    labels = labels_of([[1.0, 1.0], [1.0, -1.0], [0.0, 0.0]], [True, True, False])
    assert evaluate(loss, gaussian([[1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]]), labels).item() == pytest.approx(0.75)
    assert not loss.needs_distribution


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MSE(weights=(1.0, -1.0)), r"finite and >= 0, not \(1.0, -1.0\)"),
        (lambda: NLL(weights=(math.nan,)), r"finite and >= 0"),
    ],
)
def test_weights_that_are_none_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

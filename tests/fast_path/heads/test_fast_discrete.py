"""Choices, by hand."""

import math

import pytest
import torch as th
from toy_heads import HEADS

from sb3_rpd.fast_path.heads.discrete import DiscreteHead
from sb3_rpd.fast_path.heads.head import Outputs


def discrete(name: str) -> DiscreteHead:
    head = HEADS[name].head()
    assert isinstance(head, DiscreteHead)
    return head


# name: (logits, probability of each column, an action, its columns)
BY_HAND = {
    "categorical": ([0.0, 1.0, 2.0, 3.0], [math.exp(k) / sum(map(math.exp, range(4))) for k in range(4)], [2.0], [2]),
    "multicategorical": (
        [math.log(3.0), 0.0, *[0.0] * 4, math.log(2.0), 0.0, 0.0],
        [0.75, 0.25, *[0.25] * 4, 0.5, 0.25, 0.25],
        [1.0, 3.0, 0.0],
        [1, 5, 6],
    ),
    "bernoulli": ([0.0, math.log(3.0), -math.log(4.0)], [0.5, 0.25, 0.8, 0.5, 0.75, 0.2], [1.0, 0.0, 1.0], [3, 1, 5]),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_probabilities_and_columns_by_hand(name: str) -> None:
    logits, probs, action, columns = BY_HAND[name]
    head = discrete(name)
    (log_probs,) = head.parameters(Outputs(th.tensor([logits]), None, th.zeros(1)))
    assert log_probs.exp()[0].tolist() == pytest.approx(probs, rel=1e-6)
    chosen = head.columns(th.tensor([action]))
    assert chosen.tolist() == [columns]
    value, (derivative,) = head.log_prob((log_probs,), chosen)
    assert value.item() == pytest.approx(sum(math.log(probs[column]) for column in columns), rel=1e-6)
    assert derivative[0].nonzero().flatten().tolist() == sorted(columns)


@pytest.mark.parametrize("name", BY_HAND)
def test_columns_of_a_dimension_are_its_choices(name: str) -> None:
    head = discrete(name)
    (log_probs,) = head.parameters(HEADS[name].outputs(3, th.Generator().manual_seed(0)))
    dimensions = th.tensor(head.dimensions)
    for dimension in range(HEADS[name].action_dim):
        assert log_probs[:, dimensions == dimension].exp().sum(dim=1).tolist() == pytest.approx([1.0] * 3)


@pytest.mark.parametrize("name", BY_HAND)
def test_infinite_logits_pass_or_are_refused_as_by_torch(name: str) -> None:
    toy = HEADS[name]
    for infinite in (-math.inf, math.inf):
        outputs = toy.outputs(2, th.Generator().manual_seed(0))
        outputs.actions[0, 0] = infinite
        try:
            expected = toy.sb3s(outputs).mode()
        except ValueError:
            with pytest.raises(ValueError, match="distribution of actions is NaN"):
                toy.head().act(outputs, True)
        else:
            assert th.equal(toy.head().act(outputs, True)[0], expected)

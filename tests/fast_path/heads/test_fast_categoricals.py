"""The distributions of several choices, against those that SB3 makes."""

import copy

import pytest
import torch as th
from stable_baselines3.common.distributions import MultiCategoricalDistribution

from sb3_rpd.fast_path.heads.categoricals import Categoricals

SIZES = [3, 2, 4]


def test_they_are_those_of_sb3() -> None:
    logits = th.randn(5, 9, generator=th.Generator().manual_seed(0))
    of_sb3 = MultiCategoricalDistribution(SIZES).proba_distribution(logits)
    own = MultiCategoricalDistribution(SIZES)
    own.distribution = Categoricals(logits, SIZES)
    assert len(own.distribution) == len(of_sb3.distribution) == 3
    for ours, theirs in zip(own.distribution, of_sb3.distribution, strict=True):
        assert th.equal(ours.logits, theirs.logits)
    assert [part.logits.shape[1] for part in own.distribution[1:]] == [2, 4]
    actions = own.mode()
    assert th.equal(actions, of_sb3.mode())
    assert th.equal(own.log_prob(actions), of_sb3.log_prob(actions))
    assert th.equal(own.entropy(), of_sb3.entropy())
    assert th.equal(copy.deepcopy(own).mode(), actions)


def test_they_are_made_once() -> None:
    categoricals = Categoricals(th.zeros(2, 9), SIZES)
    assert categoricals[0] is categoricals[0]
    with pytest.raises(IndexError):
        categoricals[3]

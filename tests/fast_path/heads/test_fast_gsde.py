"""gSDE, by hand."""

import math

import pytest
import torch as th
from toy_heads import HEADS, LATENT_DIM

from sb3_rpd.fast_path.heads.choice import head_of
from sb3_rpd.fast_path.heads.gsde import GSDEHead, SquashedGSDEHead
from sb3_rpd.fast_path.heads.head import Outputs


def test_variance_is_that_of_a_sum_of_independent_weights_by_hand() -> None:
    latent = th.tensor([[1.0, 2.0, 0.0, 0.0, 0.0]])
    log_std = th.log(th.tensor([[1.0, 2.0, 3.0]])).expand(LATENT_DIM, 3)
    mean, of_rows = HEADS["gsde"].head().parameters(Outputs(th.zeros(1, 3), log_std, th.zeros(1), latent))
    assert mean.tolist() == [[0.0] * 3]
    # 1**2 std**2 + 2**2 std**2, and SB3's epsilon
    assert of_rows[0].tolist() == pytest.approx([0.5 * math.log(5.0 * std**2 + 1e-6) for std in (1.0, 2.0, 3.0)], rel=1e-6)


def test_kinds() -> None:
    assert type(HEADS["gsde"].head()) is GSDEHead
    assert type(HEADS["squashed_gsde"].head()) is SquashedGSDEHead
    learning = HEADS["gsde"].make()
    learning.learn_features = True
    assert head_of(learning) is None


def test_tanh_changes_what_is_deterministic() -> None:
    outputs = HEADS["gsde"].outputs(4, th.Generator().manual_seed(0))
    plain, squashed = HEADS["gsde"].head(), HEADS["squashed_gsde"].head()
    assert isinstance(plain, GSDEHead)
    assert isinstance(squashed, SquashedGSDEHead)
    assert th.equal(squashed.mode(squashed.parameters(outputs)), plain.mode(plain.parameters(outputs)).tanh())

"""PPO's loss on numbers worked out in float64."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch as th

from sb3_rpd.common.ppo_loss import PolicyEvaluation, PPOLossSettings, ppo_loss

OLD_LOG_PROB = np.array([-1.0, -1.0, -1.0, -1.0])
RATIO = np.array([1.5, 0.5, 1.1, 0.95])
ADVANTAGES = np.array([2.0, -1.0, -3.0, 4.0])
OLD_VALUES = np.array([0.0, 1.0, 2.0, 3.0])
VALUES = np.array([0.5, 0.9, 2.05, 1.0])
RETURNS = np.array([1.0, 1.0, 1.0, 1.0])
ENTROPY = np.array([0.1, 0.2, 0.3, 0.4])
SETTINGS: dict[str, Any] = {
    "clip_range": 0.2,
    "clip_range_vf": None,
    "ent_coef": 0.01,
    "vf_coef": 0.5,
    "normalize_advantage": False,
}


def tensor(array: np.ndarray) -> th.Tensor:
    return th.tensor(array, dtype=th.float64)


def make(n: int = 4, entropy: bool = True) -> tuple[Any, PolicyEvaluation]:
    batch = SimpleNamespace(
        advantages=tensor(ADVANTAGES[:n]),
        old_log_prob=tensor(OLD_LOG_PROB[:n]),
        old_values=tensor(OLD_VALUES[:n]),
        returns=tensor(RETURNS[:n]),
    )
    log_prob = tensor(OLD_LOG_PROB[:n] + np.log(RATIO[:n])).requires_grad_()
    values = tensor(VALUES[:n, None]).requires_grad_()
    return batch, PolicyEvaluation(values, log_prob, tensor(ENTROPY[:n]) if entropy else None, None)


def test_parts_worked_out_by_hand() -> None:
    losses = ppo_loss(*make(), PPOLossSettings(**SETTINGS))
    # min(A r, A clip(r)): 2*1.2, -1*0.8, -3*1.1, 4*0.95
    assert losses.policy.item() == pytest.approx(-(2.4 - 0.8 - 3.3 + 3.8) / 4)
    assert losses.value.item() == pytest.approx((0.25 + 0.01 + 1.1025 + 0.0) / 4)
    assert losses.entropy.item() == pytest.approx(-0.25)
    assert losses.total.item() == pytest.approx(-0.525 + 0.01 * -0.25 + 0.5 * 0.340625)
    assert losses.clip_fraction.item() == 0.5
    assert losses.approx_kl.item() == pytest.approx(np.mean(RATIO - 1 - np.log(RATIO)))
    np.testing.assert_allclose(losses.ratio.detach(), RATIO)


def test_gradient_flows_where_the_ratio_is_not_clipped() -> None:
    batch, evaluation = make()
    losses = ppo_loss(batch, evaluation, PPOLossSettings(**SETTINGS | {"ent_coef": 0.0}))
    losses.total.backward()
    np.testing.assert_allclose(evaluation.log_prob.grad, -np.array([0.0, 0.0, -3 * 1.1, 4 * 0.95]) / 4, atol=1e-12)
    np.testing.assert_allclose(evaluation.values.grad[:, 0], 0.5 * 2 * (VALUES - RETURNS) / 4, atol=1e-12)
    assert not losses.approx_kl.requires_grad
    assert not losses.clip_fraction.requires_grad


def test_values_are_clipped_around_the_old_ones() -> None:
    losses = ppo_loss(*make(), PPOLossSettings(**SETTINGS | {"clip_range_vf": 0.1}))
    # 0 + 0.1, 1 - 0.1, 2 + 0.05, 3 - 0.1
    assert losses.value.item() == pytest.approx(np.mean((np.array([0.1, 0.9, 2.05, 2.9]) - 1.0) ** 2))


def test_advantages_are_normalized_within_the_minibatch() -> None:
    losses = ppo_loss(*make(), PPOLossSettings(**SETTINGS | {"normalize_advantage": True}))
    advantages = (ADVANTAGES - ADVANTAGES.mean()) / (ADVANTAGES.std(ddof=1) + 1e-8)
    expected = -np.mean(np.minimum(advantages * RATIO, advantages * RATIO.clip(0.8, 1.2)))
    assert losses.policy.item() == pytest.approx(expected)


def test_a_minibatch_of_one_is_not_normalized() -> None:
    losses = ppo_loss(*make(n=1), PPOLossSettings(**SETTINGS | {"normalize_advantage": True}))
    assert losses.policy.item() == pytest.approx(-2.4)


@pytest.mark.parametrize("entropy", [True, False])
def test_rows_that_only_fill_up_a_sequence_do_not_count(entropy: bool) -> None:
    """The loss of four entries is that of the same four with padding between them, whatever is in that."""
    settings = PPOLossSettings(**SETTINGS | {"normalize_advantage": True, "clip_range_vf": 0.3})
    expected = ppo_loss(*make(entropy=entropy), settings)
    batch, evaluation = make(entropy=entropy)
    rows = [0, 1, 1, 2, 3, 0]
    mask = th.tensor([True, True, False, True, True, False])
    padded = SimpleNamespace(**{name: th.where(mask, values[rows], 7.0) for name, values in vars(batch).items()})
    of_padded = PolicyEvaluation(*[None if part is None else part[rows] for part in evaluation])
    actual = ppo_loss(padded, of_padded, settings, mask)
    for name in ("total", "policy", "value", "entropy", "clip_fraction", "approx_kl"):
        assert getattr(actual, name).item() == pytest.approx(getattr(expected, name).item()), name
    actual.total.backward()
    # Each entry has its gradient once; rows 2 and 5 repeat two of them and add nothing
    batch, again = make(entropy=entropy)
    ppo_loss(batch, again, settings).total.backward()
    np.testing.assert_allclose(evaluation.log_prob.grad, again.log_prob.grad, rtol=1e-12)
    np.testing.assert_allclose(evaluation.values.grad, again.values.grad, rtol=1e-12)


def test_entropy_without_a_closed_form_is_estimated_from_the_sample() -> None:
    losses = ppo_loss(*make(entropy=False), PPOLossSettings(**SETTINGS))
    assert losses.entropy.item() == pytest.approx(np.mean(OLD_LOG_PROB + np.log(RATIO)))

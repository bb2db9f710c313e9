"""Gradients in closed form, against autograd through the plain path's losses in float64."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from toy_distributions import gaussian
from toy_minibatches import assert_equal_to_rounding, make_outputs, make_rows, plain_gradient, settings

from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber, ImitationLoss
from sb3_rpd.common.ppo_loss import PPOLossSettings
from sb3_rpd.fast_path import gradients
from sb3_rpd.fast_path.gradients import clamp_passes_at_its_bounds, loss_gradient, passes_clamp
from sb3_rpd.fast_path.heads.gaussian import GaussianHead, RegressionImitation
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.imitation import AutogradImitation, imitation_gradient
from sb3_rpd.fast_path.rows import Rows


class CubicTimesRatio(ImitationLoss):
    """Of the user's own; goes through everything that a loss is given."""

    def per_sample(self, distribution: Any, labels: Any, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        entropy = distribution.entropy()
        return ((distribution.mode() - labels.actions).abs().pow(3).sum(dim=1) + entropy) * ratio * clip_range


class NothingYet(ImitationLoss):
    """Of the user's own; has no gradient."""

    def per_sample(self, distribution: Any, labels: Any, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        return th.ones_like(ratio).detach()


def weights(action_dim: int) -> tuple[float, ...]:
    return tuple(0.5 * dim for dim in range(action_dim))


LOSSES: dict[str, Callable[[int], ImitationLoss]] = {
    "mse": lambda action_dim: MSE(),
    "weighted_mse": lambda action_dim: MSE(weights(action_dim)),
    "l1": lambda action_dim: L1(),
    "weighted_l1": lambda action_dim: L1(weights(action_dim)),
    "huber": lambda action_dim: Huber(delta=0.7),
    "weighted_huber": lambda action_dim: Huber(weights(action_dim), delta=0.7),
    "nll": lambda action_dim: NLL(),
    "weighted_nll": lambda action_dim: NLL(weights(action_dim)),
    "forward_kl": lambda action_dim: KL(),
    "reverse_kl": lambda action_dim: KL(weights(action_dim), direction="reverse"),
    "cosine": lambda action_dim: Cosine(groups={"all": range(action_dim), "first": (0,)}),
    "own": lambda action_dim: CubicTimesRatio(),
    "own_without_gradient": lambda action_dim: NothingYet(),
}


def fast_gradient(
    outputs: Outputs, rows: Rows, of_ppo: PPOLossSettings, loss: ImitationLoss | None = None, coef: float = 1.0
) -> tuple[Outputs, th.Tensor]:
    head = GaussianHead()
    imitation = None if loss is None else imitation_gradient(head, loss, coef, of_ppo.clip_range)
    with th.no_grad():
        evaluation = head.evaluate(outputs, rows)
        return loss_gradient(head, outputs, evaluation, rows, of_ppo, imitation), evaluation.log_ratio


@given(
    n_rows=st.integers(1, 11),
    action_dim=st.integers(1, 4),
    clip_range=st.sampled_from([0.05, 0.2, 0.5]),
    clip_range_vf=st.sampled_from([None, 0.05, 0.3]),
    ent_coef=st.sampled_from([0.0, 0.05]),
    seed=st.integers(0, 1000),
)
def test_gradient_of_ppos_loss(n_rows: int, action_dim: int, seed: int, **of_ppo: Any) -> None:
    generator = th.Generator().manual_seed(seed)
    outputs = make_outputs(n_rows, action_dim, generator)
    rows = make_rows(outputs, generator)
    gradient, log_ratio = fast_gradient(outputs, rows, settings(**of_ppo))
    expected, losses = plain_gradient(outputs, rows, settings(**of_ppo))
    assert_equal_to_rounding(gradient, expected)
    assert_equal_to_rounding(log_ratio.exp(), losses.ratio.detach())


@pytest.mark.parametrize("name", LOSSES)
@given(
    n_rows=st.integers(1, 8),
    action_dim=st.integers(1, 4),
    coef=st.sampled_from([0.1, 3.0]),
    labeled=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_gradient_of_both_losses(name: str, n_rows: int, action_dim: int, coef: float, labeled: bool, seed: int) -> None:
    generator = th.Generator().manual_seed(seed)
    outputs = make_outputs(n_rows, action_dim, generator)
    rows = make_rows(outputs, generator)
    if not labeled:
        nothing = th.zeros_like(rows.teacher_actions)
        rows = rows._replace(teacher_actions=nothing, label_weights=0.0 * rows.label_weights, teacher_std=nothing + 1.0)
    loss = LOSSES[name](action_dim)
    gradient, _ = fast_gradient(outputs, rows, settings(), loss, coef)
    assert_equal_to_rounding(gradient, plain_gradient(outputs, rows, settings(), loss, coef)[0])


def test_losses_whose_derivative_is_written_out_are_these_and_no_subclasses() -> None:
    class Mine(MSE):
        """Could have another penalty."""

    for loss in (MSE(), L1(), Huber(), MSE(weights=(1.0, 2.0))):
        assert isinstance(imitation_gradient(GaussianHead(), loss, 1.0, 0.2), RegressionImitation)
    for other in (Mine(), NLL(), KL(), Cosine()):
        assert isinstance(imitation_gradient(GaussianHead(), other, 1.0, 0.2), AutogradImitation)


def log_ratio_of(path: str, outputs: Outputs, rows: Rows) -> th.Tensor:
    """As this path computes it, to the last bit, since ties are compared."""
    if path == "fast":
        return fast_gradient(outputs, rows, settings())[1]
    return gaussian(outputs.actions, outputs.log_std.exp()).log_prob(rows.actions) - rows.old_log_prob


def gradient_of(path: str, outputs: Outputs, rows: Rows, of_ppo: PPOLossSettings) -> Outputs:
    return (fast_gradient if path == "fast" else plain_gradient)(outputs, rows, of_ppo)[0]


def one_row(ratio: float, advantage: float) -> tuple[Outputs, Rows]:
    generator = th.Generator().manual_seed(1)
    outputs = make_outputs(1, 2, generator)
    rows = make_rows(outputs, generator, ratios=(ratio,))
    return outputs, rows._replace(advantages=th.tensor([advantage], dtype=th.float64))


@pytest.fixture(params=[True, False], ids=["torch<=2.13", "torch>=2.14"])
def clamp_passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Makes the fast path follow either kind of torch, whichever is installed."""
    monkeypatch.setattr(gradients, "clamp_passes_at_its_bounds", lambda: request.param)
    return bool(request.param)


def test_clamp_is_that_of_the_installed_torch() -> None:
    release = tuple(map(int, th.__version__.split(".")[:2]))
    assert clamp_passes_at_its_bounds() == (release <= (2, 13))


@pytest.mark.parametrize("bounds", [(-0.5, 0.25), (0.25, 0.25), (0.0, 0.0)])
def test_gradient_of_clamp(bounds: tuple[float, float]) -> None:
    around = [math.nextafter(bound, direction) for bound in bounds for direction in (-1.0, bound, 1.0)]
    values = th.tensor([*around, 0.1, -3.0, 3.0, math.nan, math.inf], dtype=th.float64, requires_grad=True)
    (expected,) = th.autograd.grad(values.clamp(*bounds).sum(), values)
    values = values.detach()
    assert passes_clamp(values, values.clamp(*bounds), *bounds).double().tolist() == expected.tolist()


@pytest.mark.parametrize("advantage", [2.0, -2.0])
@pytest.mark.parametrize("ratio", [1.25, 0.75])
def test_ratio_at_the_edge_of_the_clip_range(ratio: float, advantage: float, clamp_passes: bool) -> None:
    """th.min shares the gradient between equals, and th.clamp passes its half or does not."""
    outputs, rows = one_row(ratio, advantage)
    own_ratio = log_ratio_of("fast", outputs, rows).exp().item()
    # Exact, as both are between a half and two
    clip_range = abs(own_ratio - 1.0)
    assert 1.0 + math.copysign(clip_range, ratio - 1.0) == own_ratio
    gradient, _ = fast_gradient(outputs, rows, settings(clip_range=clip_range, ent_coef=0.0))
    inside, _ = plain_gradient(outputs, rows, settings(clip_range=clip_range + 0.1, ent_coef=0.0))
    assert_equal_to_rounding(gradient.actions, (1.0 if clamp_passes else 0.5) * inside.actions)
    assert inside.actions.abs().min() > 0.1


@pytest.mark.parametrize("advantage", [2.0, -2.0])
@pytest.mark.parametrize("ratio", [1.25, 0.75])
@pytest.mark.parametrize("beyond", [0, 1], ids=["at the edge", "beyond the edge, equal when rounded"])
def test_equal_surrogates_as_the_installed_autograd_has_them(beyond: int, ratio: float, advantage: float) -> None:
    by_path = {}
    for path in ("fast", "plain"):
        outputs, rows = one_row(ratio, advantage)
        own_ratio = log_ratio_of(path, outputs, rows).exp().item()
        edge = math.nextafter(own_ratio, 1.0) if beyond else own_ratio
        tying = next(a for a in (advantage * (1.0 + step / 999) for step in range(999)) if a * own_ratio == a * edge)
        rows = rows._replace(advantages=th.tensor([tying], dtype=th.float64))
        gradient = gradient_of(path, outputs, rows, settings(clip_range=abs(edge - 1.0), ent_coef=0.0))
        by_path[path] = gradient.actions / tying
    assert_equal_to_rounding(by_path["fast"], by_path["plain"])
    assert by_path["fast"].abs().min() > 0.05


def test_no_clip_range_at_all() -> None:
    """Of a schedule that ends at 0; the ratio of an untrained policy is 1, which is both edges."""
    of_ppo = settings(clip_range=0.0, clip_range_vf=0.0, ent_coef=0.0)
    by_path = {}
    for path in ("fast", "plain"):
        generator = th.Generator().manual_seed(1)
        outputs = make_outputs(8, 2, generator)
        # Without a deviation the logarithm of the ratio is exactly 0
        rows = make_rows(outputs, generator)._replace(actions=outputs.actions.clone(), old_values=outputs.values.clone())
        rows = rows._replace(old_log_prob=rows.old_log_prob + log_ratio_of(path, outputs, rows))
        rows = rows._replace(old_log_prob=rows.old_log_prob + log_ratio_of(path, outputs, rows))
        assert not log_ratio_of(path, outputs, rows).any()
        by_path[path] = gradient_of(path, outputs, rows, of_ppo)
    assert_equal_to_rounding(by_path["fast"], by_path["plain"])
    assert by_path["fast"].log_std.abs().min() > 0.01


@pytest.mark.parametrize("change", [0.25, -0.25])
def test_value_at_the_edge_of_its_clip_range(change: float, clamp_passes: bool) -> None:
    outputs, rows = row_with_value(1.0 + change)
    gradient, _ = fast_gradient(outputs, rows, settings(clip_range_vf=0.25, vf_coef=0.5))
    # 0.5 * 2 * (value - 3)
    assert gradient.values.item() == (1.0 + change - 3.0 if clamp_passes else 0.0)
    assert fast_gradient(outputs, rows, settings(clip_range_vf=0.2499))[0].values.item() == 0.0


@pytest.mark.parametrize("change", [0.25, -0.25])
def test_value_at_the_edge_as_the_installed_autograd_has_it(change: float) -> None:
    outputs, rows = row_with_value(1.0 + change)
    for clip_range_vf in (math.nextafter(0.25, 1.0), 0.25, math.nextafter(0.25, 0.0)):
        gradient, _ = fast_gradient(outputs, rows, settings(clip_range_vf=clip_range_vf))
        assert_equal_to_rounding(gradient, plain_gradient(outputs, rows, settings(clip_range_vf=clip_range_vf))[0])


def row_with_value(value: float) -> tuple[Outputs, Rows]:
    """Whose value was 1 in the rollout, and whose return is 3."""
    generator = th.Generator().manual_seed(1)
    outputs = make_outputs(1, 1, generator)._replace(values=th.tensor([value], dtype=th.float64))
    rows = make_rows(outputs, generator)
    return outputs, rows._replace(old_values=th.ones(1, dtype=th.float64), returns=th.tensor([3.0], dtype=th.float64))


@pytest.mark.parametrize("clip_range_vf", [None, 0.1])
@pytest.mark.parametrize(
    ("source", "reached"),
    [
        ("outputs", {"actions", "log_std"}),
        ("actions", {"actions", "log_std"}),
        ("advantages", {"actions", "log_std"}),
        ("old_log_prob", {"actions", "log_std"}),
        ("values", {"values"}),
        ("returns", {"values"}),
    ],
)
def test_nan_is_never_turned_into_a_number(source: str, reached: set[str], clip_range_vf: float | None) -> None:
    generator = th.Generator().manual_seed(1)
    outputs = make_outputs(3, 2, generator)
    rows = make_rows(outputs, generator)
    target = {"outputs": outputs.actions, "values": outputs.values}.get(source)
    target = getattr(rows, source) if target is None else target
    target[1] = math.nan
    gradient, _ = fast_gradient(outputs, rows, settings(clip_range_vf=clip_range_vf), MSE())
    assert {name for name, part in gradient._asdict().items() if part is not None and part.isnan().any()} == reached
    if "actions" in reached:
        assert gradient.actions[1].isnan().all()
        assert not gradient.actions[[0, 2]].isnan().any()


def test_distribution_is_sb3s_own() -> None:
    mean, log_std = th.tensor([[0.5, -1.0]]), th.tensor([0.1, -0.3])
    head = GaussianHead()
    distribution = head.distribution(head.parameters(Outputs(mean, log_std, th.zeros(1))))
    assert distribution.distribution.mean.tolist() == mean.tolist()
    # log N(x; m, s) summed over dimensions, with x = 0
    expected = sum(-0.5 * (m / math.exp(s)) ** 2 - s - 0.5 * math.log(2 * math.pi) for m, s in ((0.5, 0.1), (-1.0, -0.3)))
    assert distribution.log_prob(th.zeros(1, 2)).item() == pytest.approx(expected, rel=1e-6)

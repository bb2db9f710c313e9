"""The gradient of PPO's loss where a ratio or a value is at the edge of its clip range, or is no number."""

import math

import pytest
import torch as th
from toy_heads import HEADS
from toy_minibatches import assert_equal_to_rounding, fast_gradient, make_rows, plain_gradient, settings

from sb3_rpd.common.losses import MSE
from sb3_rpd.common.ppo_loss import PPOLossSettings
from sb3_rpd.fast_path import clamp
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.rows import Rows

GAUSSIAN = HEADS["gaussian"]


def log_ratio_of(path: str, outputs: Outputs, rows: Rows) -> th.Tensor:
    """As this path computes it, to the last bit, since ties are compared."""
    if path == "fast":
        return fast_gradient(GAUSSIAN, outputs, rows, settings())[1]
    return GAUSSIAN.sb3s(outputs).log_prob(rows.actions) - rows.old_log_prob


def gradient_of(path: str, outputs: Outputs, rows: Rows, of_ppo: PPOLossSettings) -> Outputs:
    return (fast_gradient if path == "fast" else plain_gradient)(GAUSSIAN, outputs, rows, of_ppo)[0]


def one_row(ratio: float, advantage: float) -> tuple[Outputs, Rows]:
    generator = th.Generator().manual_seed(1)
    outputs = GAUSSIAN.outputs(1, generator)
    rows = make_rows(GAUSSIAN, outputs, generator, ratios=(ratio,))
    return outputs, rows._replace(advantages=th.tensor([advantage], dtype=th.float64))


@pytest.fixture(params=[True, False], ids=["torch<=2.13", "torch>=2.14"])
def clamp_passes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Makes the fast path follow either kind of torch, whichever is installed."""
    monkeypatch.setattr(clamp, "clamp_passes_at_its_bounds", lambda: request.param)
    return bool(request.param)


@pytest.mark.parametrize("advantage", [2.0, -2.0])
@pytest.mark.parametrize("ratio", [1.25, 0.75])
def test_ratio_at_the_edge_of_the_clip_range(ratio: float, advantage: float, clamp_passes: bool) -> None:
    """th.min shares the gradient between equals, and th.clamp passes its half or does not."""
    outputs, rows = one_row(ratio, advantage)
    own_ratio = log_ratio_of("fast", outputs, rows).exp().item()
    # Exact, as both are between a half and two
    clip_range = abs(own_ratio - 1.0)
    assert 1.0 + math.copysign(clip_range, ratio - 1.0) == own_ratio
    gradient, _ = fast_gradient(GAUSSIAN, outputs, rows, settings(clip_range=clip_range, ent_coef=0.0))
    inside, _ = plain_gradient(GAUSSIAN, outputs, rows, settings(clip_range=clip_range + 0.1, ent_coef=0.0))
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
        outputs = GAUSSIAN.outputs(8, generator)
        # Without a deviation the logarithm of the ratio is exactly 0
        rows = make_rows(GAUSSIAN, outputs, generator)._replace(
            actions=outputs.actions.clone(), old_values=outputs.values.clone()
        )
        rows = rows._replace(old_log_prob=rows.old_log_prob + log_ratio_of(path, outputs, rows))
        rows = rows._replace(old_log_prob=rows.old_log_prob + log_ratio_of(path, outputs, rows))
        assert not log_ratio_of(path, outputs, rows).any()
        by_path[path] = gradient_of(path, outputs, rows, of_ppo)
    assert_equal_to_rounding(by_path["fast"], by_path["plain"])
    assert by_path["fast"].log_std.abs().min() > 0.01


@pytest.mark.parametrize("change", [0.25, -0.25])
def test_value_at_the_edge_of_its_clip_range(change: float, clamp_passes: bool) -> None:
    outputs, rows = row_with_value(1.0 + change)
    gradient, _ = fast_gradient(GAUSSIAN, outputs, rows, settings(clip_range_vf=0.25, vf_coef=0.5))
    # 0.5 * 2 * (value - 3)
    assert gradient.values.item() == (1.0 + change - 3.0 if clamp_passes else 0.0)
    assert fast_gradient(GAUSSIAN, outputs, rows, settings(clip_range_vf=0.2499))[0].values.item() == 0.0


@pytest.mark.parametrize("change", [0.25, -0.25])
def test_value_at_the_edge_as_the_installed_autograd_has_it(change: float) -> None:
    outputs, rows = row_with_value(1.0 + change)
    for clip_range_vf in (math.nextafter(0.25, 1.0), 0.25, math.nextafter(0.25, 0.0)):
        gradient, _ = fast_gradient(GAUSSIAN, outputs, rows, settings(clip_range_vf=clip_range_vf))
        assert_equal_to_rounding(gradient, plain_gradient(GAUSSIAN, outputs, rows, settings(clip_range_vf=clip_range_vf))[0])


def row_with_value(value: float) -> tuple[Outputs, Rows]:
    """Whose value was 1 in the rollout, and whose return is 3."""
    generator = th.Generator().manual_seed(1)
    outputs = GAUSSIAN.outputs(1, generator)._replace(values=th.tensor([value], dtype=th.float64))
    rows = make_rows(GAUSSIAN, outputs, generator)
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
    outputs = GAUSSIAN.outputs(3, generator)
    rows = make_rows(GAUSSIAN, outputs, generator)
    target = {"outputs": outputs.actions, "values": outputs.values}.get(source)
    target = getattr(rows, source) if target is None else target
    target[1] = math.nan
    gradient, _ = fast_gradient(GAUSSIAN, outputs, rows, settings(clip_range_vf=clip_range_vf), MSE())
    assert {name for name, part in gradient._asdict().items() if part is not None and part.isnan().any()} == reached
    if "actions" in reached:
        assert gradient.actions[1].isnan().all()
        assert not gradient.actions[[0, 2]].isnan().any()

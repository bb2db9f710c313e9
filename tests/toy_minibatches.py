"""Minibatches of a Gaussian policy for the tests of the fast path, and the gradient that the plain path has on them."""

from types import SimpleNamespace
from typing import Any

import torch as th
from toy_distributions import gaussian

from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.ppo_loss import PolicyEvaluation, PPOLoss, PPOLossSettings, ppo_loss
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.rows import Rows

#: Far outside the default clip range, just inside, just outside, and in the middle.
RATIOS = (0.3, 0.79, 0.81, 1.0, 1.19, 1.21, 3.0)
#: What teachers say of one row after the other.
LABELED = (True, False, True, True, False)


def settings(**kwargs: Any) -> PPOLossSettings:
    defaults = {"clip_range": 0.2, "clip_range_vf": None, "ent_coef": 0.01, "vf_coef": 0.5, "normalize_advantage": False}
    return PPOLossSettings(**defaults | kwargs)


def make_outputs(n_rows: int, action_dim: int, generator: th.Generator) -> Outputs:
    mean, log_std, values = (
        th.randn(*shape, dtype=th.float64, generator=generator) for shape in ((n_rows, action_dim), (action_dim,), (n_rows,))
    )
    return Outputs(mean, 0.3 * log_std, values)


def make_rows(outputs: Outputs, generator: th.Generator, ratios: tuple[float, ...] = RATIOS) -> Rows:
    """Rows with advantages of both signs and zero and with these ratios in turn."""

    def noise(*shape: int) -> th.Tensor:
        return th.randn(*shape, dtype=th.float64, generator=generator)

    n_rows, action_dim = outputs.actions.shape
    actions = outputs.actions + noise(n_rows, action_dim) * outputs.log_std.exp()
    log_prob = gaussian(outputs.actions, outputs.log_std.exp()).log_prob(actions)
    ratio = th.tensor([ratios[row % len(ratios)] for row in range(n_rows)], dtype=th.float64)
    labeled = th.tensor([LABELED[row % len(LABELED)] for row in range(n_rows)], dtype=th.float64)
    advantages = noise(n_rows)
    advantages[3::4] = 0.0
    return Rows(
        actions=actions,
        old_log_prob=log_prob - ratio.log(),
        old_values=outputs.values + 0.3 * noise(n_rows),
        advantages=advantages,
        returns=noise(n_rows),
        teacher_actions=noise(n_rows, action_dim) * labeled.unsqueeze(1),
        label_weights=labeled / labeled.sum().clamp(min=1.0),
        teacher_std=th.where(labeled.unsqueeze(1) > 0.0, 0.2 + noise(n_rows, action_dim).abs(), 1.0),
        teacher_logits=None,
    )


def plain_loss(
    evaluation: PolicyEvaluation, rows: Rows, settings: PPOLossSettings, loss: ImitationLoss | None, coef: float
) -> tuple[th.Tensor, PPOLoss]:
    """:return: The loss of the plain path, and PPO's part of it."""
    fields = ("advantages", "old_log_prob", "old_values", "returns")
    batch: Any = SimpleNamespace(**{name: getattr(rows, name) for name in fields})
    of_ppo = ppo_loss(batch, evaluation, settings)
    if loss is None:
        return of_ppo.total, of_ppo
    return of_ppo.total + coef * loss(evaluation.distribution, rows.labels, of_ppo.ratio, settings.clip_range), of_ppo


def plain_gradient(
    outputs: Outputs, rows: Rows, settings: PPOLossSettings, loss: ImitationLoss | None = None, coef: float = 1.0
) -> tuple[Outputs, PPOLoss]:
    """:return: The gradient of the plain path's loss by autograd, and PPO's part of the loss."""
    leaves = Outputs(*(output.clone().requires_grad_() for output in outputs[:3]))
    distribution = gaussian(leaves.actions, leaves.log_std.exp())
    log_prob, entropy = distribution.log_prob(rows.actions), distribution.entropy()
    evaluation = PolicyEvaluation(leaves.values.unsqueeze(1), log_prob, entropy, distribution)
    total, of_ppo = plain_loss(evaluation, rows, settings, loss, coef)
    return Outputs(*th.autograd.grad(total, leaves[:3], materialize_grads=True)), of_ppo


def assert_equal_to_rounding(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    th.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)

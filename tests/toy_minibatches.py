"""Minibatches for the tests of the fast path, and the gradients that the plain path and the fast one have on them."""

from types import SimpleNamespace
from typing import Any

import torch as th
from toy_heads import ToyHead

from sb3_rpd.common.distributions import log_prob as log_prob_of
from sb3_rpd.common.losses import ImitationLoss
from sb3_rpd.common.ppo_loss import PolicyEvaluation, PPOLoss, PPOLossSettings, ppo_loss
from sb3_rpd.fast_path.gradients import loss_gradient
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.imitation import imitation_gradient
from sb3_rpd.fast_path.rows import Rows

#: Far outside the default clip range, just inside, just outside, and in the middle.
RATIOS = (0.3, 0.79, 0.81, 1.0, 1.19, 1.21, 3.0)
#: What teachers say of one row after the other.
LABELED = (True, False, True, True, False)


def settings(**kwargs: Any) -> PPOLossSettings:
    defaults = {"clip_range": 0.2, "clip_range_vf": None, "ent_coef": 0.01, "vf_coef": 0.5, "normalize_advantage": False}
    return PPOLossSettings(**defaults | kwargs)


def make_rows(toy: ToyHead, outputs: Outputs, generator: th.Generator, ratios: tuple[float, ...] = RATIOS) -> Rows:
    """Rows as a rollout has them, with advantages of both signs and zero and with these ratios in turn."""

    def noise(*shape: int) -> th.Tensor:
        return th.randn(*shape, dtype=th.float64, generator=generator)

    n_rows = len(outputs.values)
    actions = toy.random_actions(n_rows, generator)
    log_prob = log_prob_of(toy.sb3s(outputs), actions)
    ratio = th.tensor([ratios[row % len(ratios)] for row in range(n_rows)], dtype=th.float64)
    labeled = th.tensor([LABELED[row % len(LABELED)] for row in range(n_rows)], dtype=th.float64)
    advantages = noise(n_rows)
    advantages[3::4] = 0.0
    teacher_std = th.where(labeled.unsqueeze(1) > 0.0, 0.2 + noise(n_rows, toy.width).abs(), 1.0)
    return Rows(
        actions=actions,
        old_log_prob=log_prob - ratio.log(),
        old_values=outputs.values + 0.3 * noise(n_rows),
        advantages=advantages,
        returns=noise(n_rows),
        teacher_actions=toy.random_actions(n_rows, generator) * labeled.unsqueeze(1),
        label_weights=labeled / labeled.sum().clamp(min=1.0),
        teacher_std=teacher_std if toy.is_continuous else None,
        teacher_logits=None if toy.is_continuous else 3.0 * noise(n_rows, toy.width) * labeled.unsqueeze(1),
    )


def without_labels(rows: Rows) -> Rows:
    """:return: The same rows, none of them labeled."""
    filled = {"teacher_actions": 0.0, "label_weights": 0.0, "teacher_std": 1.0, "teacher_logits": 0.0}
    columns = {name: getattr(rows, name) for name in filled}
    present = {name: column for name, column in columns.items() if column is not None}
    return rows._replace(**{name: th.full_like(column, filled[name]) for name, column in present.items()})


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
    toy: ToyHead, outputs: Outputs, rows: Rows, settings: PPOLossSettings, loss: ImitationLoss | None = None, coef: float = 1.0
) -> tuple[Outputs, PPOLoss]:
    """:return: The gradient of the plain path's loss by autograd, and PPO's part of the loss."""
    leaves = outputs._replace(
        **{
            name: part.clone().requires_grad_()
            for name, part in outputs._asdict().items()
            if part is not None and name != "latent"
        }
    )
    distribution = toy.sb3s(leaves)
    evaluation = PolicyEvaluation(
        leaves.values.unsqueeze(1), log_prob_of(distribution, rows.actions), distribution.entropy(), distribution
    )
    total, of_ppo = plain_loss(evaluation, rows, settings, loss, coef)
    with_gradient = {name: leaf for name, leaf in leaves._asdict().items() if leaf is not None and name != "latent"}
    gradients = th.autograd.grad(total, [*with_gradient.values()], materialize_grads=True)
    return Outputs(**{"log_std": None, **dict(zip(with_gradient, gradients, strict=True))}), of_ppo


def fast_gradient(
    toy: ToyHead, outputs: Outputs, rows: Rows, settings: PPOLossSettings, loss: ImitationLoss | None = None, coef: float = 1.0
) -> tuple[Outputs, th.Tensor]:
    """:return: The gradient of the fast path, and the logarithm of the probability ratio."""
    head = toy.head()
    imitation = None if loss is None else imitation_gradient(head, loss, coef, settings.clip_range)
    rows = head.prepare(rows)
    with th.no_grad():
        evaluation = head.evaluate(outputs, rows)
        return loss_gradient(head, outputs, evaluation, rows, settings, imitation), evaluation.log_ratio


def assert_equal_to_rounding(actual: Any, expected: Any, tolerance: float = 1e-12) -> None:
    th.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)

"""The factor of PPD's divergence and its gradient: by hand, and at their limits against autograd in float64."""

import math
from typing import Any

import pytest
import torch as th
from toy_heads import HEADS, ToyHead
from toy_minibatches import assert_equal_to_rounding, fast_gradient, make_rows, plain_gradient, settings

from sb3_rpd.common.losses import KL
from sb3_rpd.common.losses.divergence import MIN_TEACHER_PROBABILITY
from sb3_rpd.fast_path.heads.divergence import KLImitation
from sb3_rpd.fast_path.heads.head import Evaluation, Outputs, Parameters
from sb3_rpd.fast_path.rows import Rows

KINDS = [name for name, toy in HEADS.items() if not toy.is_squashed]
LOSSES = {"forward": KL(), "reverse": KL(direction="reverse")}


class Given(KLImitation):
    """A divergence of 2, 3, 5, ... in the rows, with a derivative of 1, 10, 100, ..."""

    def divergence(self, parameters: Parameters, rows: Rows) -> tuple[th.Tensor, Parameters]:
        n_rows = len(rows.label_weights)
        return th.tensor([2.0, 3.0, 5.0, 7.0])[:n_rows], (th.tensor([[1.0], [10.0], [100.0], [1000.0]])[:n_rows],)


def gradient_by_hand(ratios: list[float], label_weights: list[float], clip_range: float, coef: float) -> list[float]:
    toy = HEADS["categorical"]
    n_rows, nothing = len(ratios), th.zeros(len(ratios))
    ratio = th.tensor(ratios)
    derivatives = (th.arange(1.0, n_rows + 1).unsqueeze(1),)
    rows = Rows(*[nothing] * 6, label_weights=th.tensor(label_weights), teacher_std=None, teacher_logits=None)
    total = th.full((n_rows, 1), 0.25)
    Given(toy.head(), KL(), coef, clip_range).add_to((total,), Evaluation((nothing,), ratio.log(), ratio, derivatives), rows)
    return total.flatten().tolist()


def test_product_rule_by_hand() -> None:
    """The ratio r has the derivative r times that of its logarithm; below 1 - clip_range the factor is a constant."""
    coef, weights = 4.0, [0.5, 0.25, 0.25, 0.0]
    expected = [
        0.25 + 4.0 * 0.5 * (0.75 * 1.0),  # 0.5 counts as 0.75
        0.25 + 4.0 * 0.25 * (1.0 * 10.0 + 3.0 * 1.0 * 2.0),
        0.25 + 4.0 * 0.25 * (2.0 * 100.0 + 5.0 * 2.0 * 3.0),
        0.25,  # no label
    ]
    assert gradient_by_hand([0.5, 1.0, 2.0, 3.0], weights, 0.25, coef) == expected


def test_edge_of_the_factor_is_that_of_torch() -> None:
    """Whether a ratio of just 1 - clip_range has a gradient is the installed torch's to decide."""
    ratio = th.tensor([0.75], requires_grad=True)
    ratio.clamp(min=0.75).sum().backward()
    passes = ratio.grad.item()
    assert gradient_by_hand([0.75], [1.0], 0.25, 1.0) == [0.25 + 0.75 * 1.0 + passes * 2.0 * 0.75 * 1.0]


def compare(toy: ToyHead, outputs: Outputs, rows: Rows, loss: KL, **of_ppo: Any) -> Outputs:
    gradient, _ = fast_gradient(toy, outputs, rows, settings(**of_ppo), loss, coef=3.0)
    assert_equal_to_rounding(gradient, plain_gradient(toy, outputs, rows, settings(**of_ppo), loss, coef=3.0)[0], 1e-10)
    return gradient


@pytest.mark.parametrize("direction", LOSSES)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("clip_range", [0.0, 1.0])
def test_factor_of_any_clip_range_and_ratio(name: str, direction: str, clip_range: float) -> None:
    """0 leaves every ratio below 1 out, 1 none; ratios of many powers of ten."""
    toy, generator = HEADS[name], th.Generator().manual_seed(3)
    outputs = toy.outputs(8, generator)
    rows = make_rows(toy, outputs, generator, ratios=(1e-12, 1e-3, 0.999, 1.001, 50.0))
    compare(toy, outputs, rows, LOSSES[direction], clip_range=clip_range)


@pytest.mark.parametrize("direction", LOSSES)
@pytest.mark.parametrize("name", KINDS)
def test_teacher_who_is_certain(name: str, direction: str) -> None:
    """A deviation of 0 counts as ``min_std``, a choice that is ruled out as ``MIN_TEACHER_PROBABILITY``."""
    toy, generator = HEADS[name], th.Generator().manual_seed(4)
    outputs = toy.outputs(6, generator)
    rows = make_rows(toy, outputs, generator)
    loss = LOSSES[direction]
    if toy.is_continuous:
        assert rows.teacher_std is not None
        rows = rows._replace(teacher_std=th.zeros_like(rows.teacher_std))
        told = rows._replace(teacher_std=th.full_like(rows.teacher_actions, loss.min_std))
    else:
        assert rows.teacher_logits is not None
        certain = th.full_like(rows.teacher_logits, -300.0)
        certain[:, 0] = 300.0
        rows = rows._replace(teacher_logits=certain)
        told = None
    gradient = compare(toy, outputs, rows, loss)
    assert gradient.actions.isfinite().all()
    if told is not None:
        assert_equal_to_rounding(gradient, compare(toy, outputs, told, loss))


def test_certain_teacher_by_hand() -> None:
    """Of two choices one has probability 1, the other counts as the least there is; to the student they are 0.25 and 0.75."""
    toy = ToyHead(HEADS["categorical"].kind, 2)
    logits = th.tensor([[math.log(0.25), math.log(0.75)]], dtype=th.float64)
    nothing = th.zeros(1, dtype=th.float64)
    outputs = Outputs(logits, None, nothing)
    rows = Rows(
        actions=nothing.unsqueeze(1),
        old_log_prob=nothing + math.log(0.25),
        old_values=nothing,
        advantages=nothing,
        returns=nothing,
        teacher_actions=nothing.unsqueeze(1),
        label_weights=nothing + 1.0,
        teacher_std=None,
        teacher_logits=th.tensor([[300.0, -300.0]], dtype=th.float64),
    )
    of_ppo = settings(ent_coef=0.0, vf_coef=0.0)
    least = MIN_TEACHER_PROBABILITY
    # The action taken was the first one: its log-probability has the derivatives 1 - 0.25 and -0.75 by the logits
    of_log_ratio = (0.75, -0.75)
    forward = math.log(1.0 / 0.25) + least * math.log(least / 0.75)
    by_logits = (0.25 * (1.0 + least) - 1.0, 0.75 * (1.0 + least) - least)
    expected = [direct + forward * of_ratio for direct, of_ratio in zip(by_logits, of_log_ratio, strict=True)]
    gradient, _ = fast_gradient(toy, outputs, rows, of_ppo, KL())
    assert gradient.actions[0].tolist() == pytest.approx(expected, rel=1e-9)

    terms = (math.log(0.25), math.log(0.75 / least))
    reverse = 0.25 * terms[0] + 0.75 * terms[1]
    by_logits = (0.25 * (terms[0] - reverse), 0.75 * (terms[1] - reverse))
    expected = [direct + reverse * of_ratio for direct, of_ratio in zip(by_logits, of_log_ratio, strict=True)]
    gradient, _ = fast_gradient(toy, outputs, rows, of_ppo, KL(direction="reverse"))
    assert gradient.actions[0].tolist() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("direction", LOSSES)
@pytest.mark.parametrize("name", KINDS)
def test_student_who_is_the_teacher_is_not_pulled(name: str, direction: str) -> None:
    """Both the divergence and its derivative vanish, and so does what comes through the ratio."""
    toy, generator = HEADS[name], th.Generator().manual_seed(5)
    outputs = toy.outputs(5, generator)
    rows = make_rows(toy, outputs, generator, ratios=(0.3, 1.0, 3.0))
    rows = rows._replace(label_weights=th.full_like(rows.label_weights, 0.2), advantages=th.zeros_like(rows.advantages))
    if toy.is_continuous:
        normal = toy.sb3s(outputs).distribution
        rows = rows._replace(teacher_actions=normal.mean, teacher_std=normal.stddev)
    else:
        rows = rows._replace(teacher_logits=outputs.actions)
    gradient = compare(toy, outputs, rows, LOSSES[direction], ent_coef=0.0)
    assert gradient.actions.abs().max() < 1e-12
    assert gradient.log_std is None or gradient.log_std.abs().max() < 1e-12

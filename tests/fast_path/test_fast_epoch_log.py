"""What the log says of an epoch, against the formulas of the paper and of SB3 in numpy, minibatch by minibatch."""

import math

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from toy_heads import HEADS
from toy_minibatches import RATIOS, make_rows, settings

from sb3_rpd.common.losses import KL, MSE, ImitationLoss
from sb3_rpd.fast_path.epoch_log import EpochLog, Trained
from sb3_rpd.fast_path.heads.head import ImitationGradient
from sb3_rpd.fast_path.imitation import imitation_gradient
from sb3_rpd.fast_path.minibatches import Minibatches
from sb3_rpd.fast_path.rows import Rows

BOX = spaces.Box(np.float32([-1.0, -2.0, 0.0]), np.float32([1.0, 3.0, 1.0]))
GAUSSIAN = HEADS["gaussian"]


def make_epoch(n_rows: int, batch_size: int, seed: int = 0) -> tuple[Trained, Rows, Minibatches, th.Tensor]:
    """Each minibatch has a ``log_std`` of its own, as the policy changes from one to the next; and the ratios."""
    generator = th.Generator().manual_seed(seed)
    minibatches = Minibatches(n_rows, batch_size)
    head, parts = GAUSSIAN.head(), []
    for size in minibatches.sizes:
        outputs = GAUSSIAN.outputs(size, generator)
        rows = make_rows(GAUSSIAN, outputs, generator)
        evaluation = head.evaluate(outputs, rows)
        parts.append((Trained(evaluation.parameters, evaluation.log_ratio, outputs.values), rows))
    trained = Trained.joined([part for part, _ in parts])
    columns = zip(*(part for _, part in parts), strict=True)
    rows = Rows._make(None if column[0] is None else th.cat(column) for column in columns)
    ratios = [RATIOS[row % len(RATIOS)] for size in minibatches.sizes for row in range(size)]
    return trained, rows, minibatches, th.tensor(ratios, dtype=th.float64)


def imitation(loss: ImitationLoss) -> ImitationGradient:
    return imitation_gradient(GAUSSIAN.head(), loss, 1.0, 0.2)


def by_minibatch(minibatches: Minibatches, rows: np.ndarray) -> list[np.ndarray]:
    return np.split(rows, np.cumsum(minibatches.sizes)[:-1])


@given(
    n_rows=st.integers(1, 20),
    batch_size=st.integers(1, 22),
    clip_range_vf=st.sampled_from([None, 0.1]),
    seed=st.integers(0, 100),
)
def test_ppos_statistics(n_rows: int, batch_size: int, clip_range_vf: float | None, seed: int) -> None:
    trained, rows, minibatches, ratios = make_epoch(n_rows, batch_size, seed)
    ratio, advantages = ratios.numpy(), rows.advantages.numpy()
    surrogate = np.minimum(advantages * ratio, advantages * ratio.clip(0.8, 1.2))
    values = trained.values.numpy()
    if clip_range_vf is not None:
        values = rows.old_values.numpy() + (values - rows.old_values.numpy()).clip(-clip_range_vf, clip_range_vf)
    # Of a Gaussian: log(std) + (1 + log(2 pi)) / 2 for each dimension
    entropy = (trained.parameters[1].numpy() + 0.5 * (1.0 + math.log(2.0 * math.pi))).sum(axis=1)
    of_row = {
        "train/policy_gradient_loss": -surrogate,
        "train/value_loss": (values - rows.returns.numpy()) ** 2,
        "train/entropy_loss": -entropy,
        "train/clip_fraction": (np.abs(ratio - 1.0) > 0.2).astype(np.float64),
        "train/approx_kl": ratio - 1.0 - np.log(ratio),
    }
    expected = {name: [part.mean() for part in by_minibatch(minibatches, row)] for name, row in of_row.items()}
    total = -surrogate - 0.03 * entropy + 0.7 * of_row["train/value_loss"]
    expected["train/loss"] = [part.mean() for part in by_minibatch(minibatches, total)]

    of_ppo = settings(clip_range_vf=clip_range_vf, ent_coef=0.03, vf_coef=0.7)
    actual = EpochLog(GAUSSIAN.head(), trained, rows, minibatches, of_ppo).of_ppo()
    assert actual.keys() == expected.keys()
    for name, numbers in expected.items():
        np.testing.assert_allclose(actual[name], numbers, rtol=1e-6, atol=1e-6, err_msg=name)


@given(n_rows=st.integers(1, 20), batch_size=st.integers(1, 22), seed=st.integers(0, 100))
def test_imitation_and_agreement(n_rows: int, batch_size: int, seed: int) -> None:
    trained, rows, minibatches, _ = make_epoch(n_rows, batch_size, seed)
    distance = np.abs(trained.parameters[0].numpy() - rows.teacher_actions.numpy())
    # Within a tenth of half the width of the space, which is 1, 2.5 and 0.5
    of_row = {
        "train/imitation_loss": (distance**2).mean(axis=1),
        "train/agreement": (distance <= np.array([0.1, 0.25, 0.05])).mean(axis=1),
    }
    statistics = EpochLog(GAUSSIAN.head(), trained, rows, minibatches, settings())
    actual = statistics.of_imitation(imitation(MSE()), BOX)
    labeled = by_minibatch(minibatches, rows.label_weights.numpy() > 0.0)
    assert statistics.has_labels().tolist() == [bool(part.any()) for part in labeled]
    for name, row in of_row.items():
        parts = zip(by_minibatch(minibatches, row), labeled, strict=True)
        means = [part[chosen].mean() if chosen.any() else 0.0 for part, chosen in parts]
        np.testing.assert_allclose(actual[name], means, rtol=1e-9, atol=1e-9, err_msg=name)
    assert statistics.of_imitation(imitation(MSE()), None).keys() == {"train/imitation_loss"}


def test_loss_on_distributions_sees_the_log_std_of_each_minibatch() -> None:
    trained, rows, minibatches, ratios = make_epoch(7, 4)
    mean, std = trained.parameters[0].numpy(), np.exp(trained.parameters[1].numpy())
    assert rows.teacher_std is not None
    teacher_mean, teacher_std = rows.teacher_actions.numpy(), rows.teacher_std.numpy()
    kl = np.log(std / teacher_std) + (teacher_std**2 + (teacher_mean - mean) ** 2) / (2.0 * std**2) - 0.5
    # PPD's factor, max(ratio, 1 - clip_range)
    of_row = kl.sum(axis=1) * np.maximum(ratios.numpy(), 0.8)
    labeled = rows.label_weights.numpy() > 0.0
    expected = [of_row[:4][labeled[:4]].mean(), of_row[4:][labeled[4:]].mean()]
    actual = EpochLog(GAUSSIAN.head(), trained, rows, minibatches, settings()).of_imitation(imitation(KL()), None)
    assert actual["train/imitation_loss"].tolist() == pytest.approx(expected, rel=1e-9)

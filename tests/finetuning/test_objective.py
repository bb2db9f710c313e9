"""Teacher forcing against decoding word by word; the loss by hand."""

from pathlib import Path

import numpy as np
import pytest
import torch as th

from sb3_rpd.finetuning.examples import Batch
from sb3_rpd.finetuning.objective import Objective, draw_words, forced_hidden_states
from sb3_rpd.teachers.openvla.actions import bin_values
from sb3_rpd.teachers.openvla.checkpoint import load_model, read_json
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.model import OpenVLAModel
from sb3_rpd.teachers.openvla.processing import PromptProcessor

FIRST_ACTION_WORD, END = 99, 2


@pytest.fixture
def model(tiny: Path) -> OpenVLAModel:
    return load_model(tiny, th.device("cpu"), th.float32)


@pytest.fixture
def batch(tiny: Path) -> Batch:
    """Four rows with prompts of different lengths."""
    rng = np.random.default_rng(0)
    prompt = PromptProcessor(tiny, OpenVLAConfig.from_json(read_json(tiny, "config.json")))
    normalized = rng.uniform(-1, 1, (4, 3)).astype(np.float32)
    return Batch(
        images=th.from_numpy(rng.standard_normal((4, 6, 56, 56), dtype=np.float32)),
        prompts=[prompt(instruction) for instruction in ("push", "lift the cube", "push", "insert the peg")],
        normalized=th.from_numpy(normalized),
        words=th.from_numpy(rng.integers(0, 256, (4, 3))),
        rows=np.arange(4),
    )


@pytest.mark.parametrize("rows", [slice(0, 4), slice(0, 1)], ids=["padded", "alone"])
def test_teacher_forcing_equals_decoding_word_by_word(model: OpenVLAModel, batch: Batch, rows: slice) -> None:
    images, prompts = batch.images[rows], batch.prompts[rows]
    decoded = model.action_logits(images, prompts, action_dim=3)

    with th.no_grad():
        hidden = forced_hidden_states(model, images, prompts, decoded.argmax(dim=2))
        logits = model.language_model.lm_head(hidden)

    assert logits.shape[1] == 4
    th.testing.assert_close(logits[:, :3, FIRST_ACTION_WORD : FIRST_ACTION_WORD + 256], decoded, rtol=0, atol=1e-4)


def test_other_words_are_heeded(model: OpenVLAModel, batch: Batch) -> None:
    other = batch.words.clone()
    other[:, 0] = (other[:, 0] + 100) % 256

    with th.no_grad():
        hidden, changed = (forced_hidden_states(model, batch.images, batch.prompts, words) for words in (batch.words, other))

    # the first word is predicted before it is fed
    assert th.equal(hidden[:, 0], changed[:, 0])
    assert ((hidden[:, 1:] - changed[:, 1:]).abs().amax(dim=2) > 1e-3).all()


def test_the_loss_is_the_cross_entropy_of_the_words_and_of_the_end(model: OpenVLAModel, batch: Batch) -> None:
    loss = Objective(model)(batch, np.random.default_rng(0))

    with th.no_grad():
        hidden = forced_hidden_states(model, batch.images, batch.prompts, batch.words)
    logits = (hidden.double() @ model.language_model.lm_head.weight.double().T).numpy()
    total = 0.0
    for row in range(4):
        for position, word in enumerate([*(batch.words[row] + FIRST_ACTION_WORD).tolist(), END]):
            total += np.log(np.exp(logits[row, position]).sum()) - logits[row, position, word]
    assert float(loss) == pytest.approx(total / 16, rel=1e-5)


def test_soft_labels_by_hand(model: OpenVLAModel, batch: Batch) -> None:
    labels = Objective(model, label_width=3.0).labels(batch).double().numpy()

    values, sigma = bin_values(256), 3 * 2 / 255
    for row, dim in np.ndindex(4, 3):
        density = np.exp(-((values - float(batch.normalized[row, dim])) ** 2) / (2 * sigma**2))
        np.testing.assert_allclose(labels[row, dim], density / density.sum(), rtol=1e-4, atol=1e-7)
    # their mean is the action, but at the ends, and their standard deviation three words
    inner = np.abs(batch.normalized.numpy()) < 0.9
    mean = labels @ values
    np.testing.assert_allclose(mean[inner], batch.normalized.numpy()[inner], atol=1e-3)
    std = np.sqrt((labels * (values - mean[..., None]) ** 2).sum(axis=2))
    np.testing.assert_allclose(std[inner], sigma, rtol=0.02)


def test_labels_of_no_width_are_the_words(model: OpenVLAModel, batch: Batch) -> None:
    labels = Objective(model).labels(batch)

    assert th.equal(labels.argmax(dim=2), batch.words)
    assert labels.sum(dim=2).eq(1).all()
    assert labels.max(dim=2).values.eq(1).all()


def test_words_are_drawn_as_often_as_they_are_likely() -> None:
    labels = th.tensor([0.1, 0.0, 0.6, 0.3]).expand(20_000, 2, 4)

    drawn = draw_words(labels, np.random.default_rng(0))

    frequencies = th.bincount(drawn.flatten(), minlength=4) / 40_000
    # 5 standard deviations of the likeliest
    th.testing.assert_close(frequencies, labels[0, 0], rtol=0, atol=0.0125)
    assert frequencies[1] == 0
    assert not th.equal(drawn[:, 0], drawn[:, 1])


def test_a_soft_loss_is_fed_with_what_was_drawn(model: OpenVLAModel, batch: Batch) -> None:
    objective = Objective(model, label_width=3.0)

    loss = objective(batch, np.random.default_rng(7))

    labels = objective.labels(batch)
    fed = draw_words(labels, np.random.default_rng(7))
    with th.no_grad():
        hidden = forced_hidden_states(model, batch.images, batch.prompts, fed)
        log_probabilities = model.language_model.lm_head(hidden).double().log_softmax(dim=2)
    words = log_probabilities[:, :3, FIRST_ACTION_WORD : FIRST_ACTION_WORD + 256]
    expected = -((labels * words).sum() + log_probabilities[:, 3, END].sum()) / 16
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)

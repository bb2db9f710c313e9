"""The errors on held-out frames, row by row."""

from pathlib import Path

import numpy as np
import pytest
import torch as th

from sb3_rpd.demonstrations import Demonstrations
from sb3_rpd.finetuning import Examples, Objective
from sb3_rpd.finetuning.examples import action_statistics
from sb3_rpd.finetuning.held_out import held_out_errors
from sb3_rpd.finetuning.objective import forced_hidden_states
from sb3_rpd.teachers.openvla.actions import bin_values
from sb3_rpd.teachers.openvla.checkpoint import load_model

FIRST_ACTION_WORD, END = 99, 2


@th.no_grad()
def test_errors_are_means_over_the_rows(tiny: Path, demonstrations: Demonstrations) -> None:
    model = load_model(tiny, th.device("cpu"), th.float32)
    statistics = action_statistics(demonstrations.actions, gripper=False)
    examples = Examples(tiny, demonstrations, statistics, convert_actions=None, camera=None, device=th.device("cpu"))
    rows = np.array([0, 3, 7, 11, len(examples) - 1])

    errors = held_out_errors(Objective(model), examples, rows, batch_size=2)

    losses, wrong, distances = [], [], []
    for row in rows:
        batch = examples.batch(np.array([row]))
        hidden = forced_hidden_states(model, batch.images, batch.prompts, batch.words)[0]
        log_probabilities = model.language_model.lm_head(hidden).double().log_softmax(dim=1)
        right = [*(batch.words[0] + FIRST_ACTION_WORD).tolist(), END]
        losses += [-float(log_probabilities[place, word]) for place, word in enumerate(right)]
        wrong += [int(log_probabilities[place].argmax()) != word for place, word in enumerate(right[:-1])]
        said = bin_values(256)[model.action_logits(batch.images, batch.prompts, 3)[0].argmax(dim=1)]
        distances += np.abs(said - batch.normalized[0].numpy()).tolist()
    assert errors.held_out_loss == pytest.approx(np.mean(losses), rel=1e-4)
    assert errors.token_error == pytest.approx(np.mean(wrong))
    assert errors.action_error == pytest.approx(np.mean(distances), rel=1e-5)
    assert errors.action_error > 0.1

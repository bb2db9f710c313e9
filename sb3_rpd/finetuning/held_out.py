"""How well a network says what is demonstrated in episodes that it was not trained on."""

from dataclasses import dataclass

import numpy as np
import torch as th

from sb3_rpd.finetuning.examples import Examples, pieces
from sb3_rpd.finetuning.objective import Objective, forced_hidden_states
from sb3_rpd.teachers.openvla.actions import bin_values


@dataclass(frozen=True)
class HeldOutErrors:
    """
    Errors on frames that were not trained on. Whether a task is solved, they do not tell.

    :param held_out_loss: The mean cross-entropy of the words, each given the right words before it.
    :param token_error: Share of wrong words, likewise.
    :param action_error: Mean distance of the actions from the demonstrated ones, as the network says them by itself; 2 is the
        width of the data, from the 1st to the 99th percentile. A network that has learned next to nothing and says what is
        in the middle can have less of it than a better one.
    """

    held_out_loss: float
    token_error: float
    action_error: float


@th.no_grad()
def held_out_errors(objective: Objective, examples: Examples, rows: np.ndarray, batch_size: int) -> HeldOutErrors:
    """
    :param objective: What is minimized, with the network in it.
    :param examples: The frames held out.
    :param rows: Which of them, shape (n,).
    :param batch_size: How many go through the network at once.
    :return: The errors.
    """
    model = objective.model
    model.checks_first_words = False
    first, bins = model.config.first_action_token, model.config.action_bins
    values = th.from_numpy(bin_values(bins)).float()
    losses: list[th.Tensor] = []
    wrong: list[th.Tensor] = []
    distances: list[th.Tensor] = []
    for piece in pieces(rows, batch_size):
        batch = objective.batch(examples, piece)
        hidden = forced_hidden_states(model, batch.images, batch.prompts, batch.words)
        losses.append(objective.word_loss(hidden, objective.labels(batch)).cpu())
        said = model.language_model.lm_head(hidden[:, :-1]).argmax(dim=-1) - first
        wrong.append((said != batch.words).float().cpu())
        decoded = model.action_logits(batch.images, batch.prompts, batch.words.shape[1]).argmax(dim=-1)
        distances.append((values[decoded.cpu()] - batch.normalized.cpu()).abs())
    return HeldOutErrors(*(float(th.cat(found).mean()) for found in (losses, wrong, distances)))

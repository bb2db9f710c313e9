"""How well a network says what is demonstrated in episodes that it was not trained on."""

from dataclasses import dataclass

import numpy as np
import torch as th

from sb3_rpd.finetuning.examples import Examples, pieces
from sb3_rpd.finetuning.objective import forced_hidden_states
from sb3_rpd.teachers.openvla.actions import bin_values
from sb3_rpd.teachers.openvla.model import OpenVLAModel


@dataclass(frozen=True)
class HeldOutErrors:
    """
    Errors on frames that were not trained on.

    :param token_error: Share of wrong words, each given the right words before it.
    :param action_error: Mean distance of the actions from the demonstrated ones, as the network says them by itself; 2 is the
        width of the data, from the 1st to the 99th percentile. Whether a task is solved, it does not tell.
    """

    token_error: float
    action_error: float


@th.no_grad()
def held_out_errors(model: OpenVLAModel, examples: Examples, rows: np.ndarray, batch_size: int) -> HeldOutErrors:
    """
    :param model: The network.
    :param examples: The frames held out.
    :param rows: Which of them, shape (n,).
    :param batch_size: How many go through the network at once.
    :return: The errors.
    """
    model.checks_first_words = False
    first, bins = model.config.first_action_token, model.config.action_bins
    values = th.from_numpy(bin_values(bins)).float()
    wrong: list[th.Tensor] = []
    distances: list[th.Tensor] = []
    for piece in pieces(rows, batch_size):
        batch = examples.batch(piece)
        hidden = forced_hidden_states(model, batch.images, batch.prompts, batch.words)
        said = model.language_model.lm_head(hidden[:, :-1]).argmax(dim=-1) - first
        wrong.append((said != batch.words).float().cpu())
        decoded = model.action_logits(batch.images, batch.prompts, batch.words.shape[1]).argmax(dim=-1)
        distances.append((values[decoded.cpu()] - batch.normalized.cpu()).abs())
    return HeldOutErrors(float(th.cat(wrong).mean()), float(th.cat(distances).mean()))

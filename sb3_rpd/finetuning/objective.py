"""What is minimized: the cross-entropy of the right words under teacher forcing."""

from collections.abc import Sequence

import numpy as np
import torch as th
import torch.nn.functional as F
from torch import nn

from sb3_rpd.finetuning.adapters import merged_weights
from sb3_rpd.finetuning.examples import Batch, Examples
from sb3_rpd.teachers.openvla.actions import bin_values
from sb3_rpd.teachers.openvla.model import OpenVLAModel


def forced_hidden_states(
    model: OpenVLAModel, images: th.Tensor, prompts: Sequence[Sequence[int]], words: th.Tensor
) -> th.Tensor:
    """
    Teacher forcing: one pass over prompts and whole answers, whatever the network would have said itself.

    :param model: The network.
    :param images: Shape (n, 3 * number of trunks, image_size, image_size).
    :param prompts: Token ids of n prompts of any lengths.
    :param words: The answers, as places among the action words, int64 of shape (n, action_dim).
    :return: Shape (n, action_dim + 1, hidden_size): what the words are predicted from, and what follows the last one.
    """
    embeddings, mask = model.assemble(images, prompts)
    answers = model.embed_words(words + model.config.first_action_token)
    embeddings = th.cat([embeddings, answers.to(embeddings.dtype)], dim=1)
    mask = F.pad(mask, (0, words.shape[1]), value=1)
    hidden: th.Tensor = model.language_model.model(
        inputs_embeds=embeddings,
        attention_mask=None if bool(mask.all()) else mask,
        position_ids=(mask.cumsum(dim=1) - 1).clamp(min=0),
        use_cache=False,
    ).last_hidden_state
    return hidden[:, -(words.shape[1] + 1) :]


class Objective(nn.Module):
    """
    The mean over an action's words, and the word that ends the answer, of the cross-entropy over the whole vocabulary: what
    OpenVLA was trained with (Kim et al. 2024, arXiv:2406.09246).

    A subclass may change the network while it is trained, and what it is shown, and add to the loss; ``weights`` says what
    remains of that.

    :param model: The network.
    :param label_width: See ``Recipe``.
    """

    def __init__(self, model: OpenVLAModel, label_width: float = 0.0) -> None:
        super().__init__()
        self.model = model
        self._label_width = label_width
        bins = model.config.action_bins
        self._values = th.from_numpy(bin_values(bins)).float()
        # standard deviation of a label in units of the normalized actions
        self._sigma = label_width * 2 / (bins - 1)

    def batch(self, examples: Examples, rows: np.ndarray, augmentation: np.random.Generator | None = None) -> Batch:
        """
        What the network is shown of some frames, and what it is to answer.

        A subclass that shows something else than images may compute it once, and keep it.

        :param examples: The frames, to train on or held out.
        :param rows: Which of them, shape (n,).
        :param augmentation: If given, changes the images at random.
        :return: The batch, for ``forward``.
        """
        return examples.batch(rows, augmentation)

    def forward(self, batch: Batch, rng: np.random.Generator) -> th.Tensor:
        """
        :param batch: The frames and their answers.
        :param rng: Draws what is random in it.
        :return: The loss, a scalar.
        """
        labels = self.labels(batch)
        fed = batch.words if self._sigma == 0 else draw_words(labels, rng)
        hidden = forced_hidden_states(self.model, batch.images, batch.prompts, fed)
        return self.word_loss(hidden, labels).mean()

    def labels(self, batch: Batch) -> th.Tensor:
        """
        :param batch: The frames and their answers.
        :return: A distribution over the action words for each number, shape (n, action_dim, action_bins).
        """
        if self._sigma == 0:
            return F.one_hot(batch.words, len(self._values)).float()
        distance = self._values.to(batch.normalized.device) - batch.normalized[..., None]
        return F.softmax(-(distance**2) / (2 * self._sigma**2), dim=-1)

    def word_loss(self, hidden: th.Tensor, labels: th.Tensor) -> th.Tensor:
        """
        :param hidden: See ``forced_hidden_states``.
        :param labels: See ``labels``.
        :return: The cross-entropy of each word and of the end, shape (n, action_dim + 1).
        """
        log_probabilities = F.log_softmax(self.model.language_model.lm_head(hidden).float(), dim=-1)
        first = self.model.config.first_action_token
        words = -(labels * log_probabilities[:, :-1, first : first + labels.shape[-1]]).sum(dim=-1)
        end = -log_probabilities[:, -1:, int(self.model.config.text["eos_token_id"])]
        return th.cat([words, end], dim=1)

    def weights(self) -> dict[str, th.Tensor]:
        """:return: The network's weights as a checkpoint has them: adapters merged, what only served training left out."""
        return merged_weights(self.model)


def draw_words(labels: th.Tensor, rng: np.random.Generator) -> th.Tensor:
    """
    Draw answers: what the network is fed with is then somewhat wrong, as its own answers will be.

    :param labels: Distributions, shape (n, action_dim, action_bins).
    :param rng: Draws.
    :return: int64 of shape (n, action_dim).
    """
    uniform = th.from_numpy(rng.random((*labels.shape[:2], 1), dtype=np.float32)).to(labels.device)
    drawn: th.Tensor = (labels.cumsum(dim=-1) < uniform).sum(dim=-1)
    return drawn.clamp(max=labels.shape[-1] - 1)

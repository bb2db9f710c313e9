"""The network of OpenVLA: vision trunks, projector and Llama, decoded greedily for a batch of images and prompts."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch as th
import torch.nn.functional as F
from torch import nn

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.lookalikes import refuse_words
from sb3_rpd.teachers.openvla.vision import Projector, VisionBackbone


def _make_llama(text: Mapping[str, Any]) -> Any:
    transformers = import_optional("transformers", extra="openvla")
    config = transformers.LlamaConfig(**text)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")


def cache_argument(forward: Callable[..., Any]) -> str:
    """
    What the installed release of transformers calls the argument that takes the keys and values of earlier words.

    Another name would be swallowed without a word: the cache stays empty, and only the first number of an action is right.

    :param forward: The ``forward`` of a language model.
    :raises TeacherError: if it is neither of the names known.
    """
    parameters = inspect.signature(forward).parameters
    for name in ("cache", "past_key_values"):  # since 5.24; until 5.40
        if name in parameters:
            return name
    version = import_optional("transformers", extra="openvla").__version__
    raise TeacherError(
        f"OpenVLATeacher cannot decode with transformers {version}, whose Llama takes no cache by a name that it knows. "
        "Install an earlier release."
    )


class OpenVLAModel(nn.Module):
    """
    The network, with the parameter names of the published checkpoints.

    Build it under ``torch.device("meta")`` to give it its weights afterwards without making them twice.

    :param config: The architecture.
    """

    def __init__(self, config: OpenVLAConfig) -> None:
        super().__init__()
        self.config = config
        self.vision_backbone = VisionBackbone(config.trunks)
        self.projector = Projector(config.trunks, config.text["hidden_size"])
        self.language_model = _make_llama(config.text)
        self.eval().requires_grad_(False)
        #: Whether to see, at the next question, if words for actions are the likeliest; in training they need not be yet.
        self.checks_first_words = True

    def reset_rotary_embeddings(self, device: th.device) -> None:
        """
        Compute the frequencies of Llama's rotary embeddings, which no checkpoint holds.

        They are float32 whatever the weights are: rounded frequencies would shift far positions against each other.

        :param device: Where the model is.
        """
        rotary_class = import_optional("transformers.models.llama.modeling_llama", extra="openvla").LlamaRotaryEmbedding
        for module in list(self.language_model.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, rotary_class):
                    with th.device(device):
                        setattr(module, name, rotary_class(config=self.language_model.config))

    @th.inference_mode()
    def action_logits(self, images: th.Tensor, prompts: Sequence[Sequence[int]], action_dim: int) -> th.Tensor:
        """
        Decode one action for each image, greedily: each number given those before it.

        :param images: Normalized images of shape (n, 3 * number of trunks, image_size, image_size).
        :param prompts: The words (token ids) of n prompts of any lengths; each begins with the BOS token.
        :param action_dim: How many numbers make an action.
        :return: Logits over the words that stand for actions, float32, of shape (n, action_dim, action_bins). Other words
            of the vocabulary do not compete.
        :raises TeacherError: if, at the first question, other words would have won in most rows.
        """
        embeddings, mask = self.assemble(images, prompts)
        padded = not bool(mask.all())
        first = self.config.first_action_token
        head = self.language_model.lm_head.weight[first : first + self.config.action_bins]
        llama = self.language_model.model
        cache = {cache_argument(llama.forward): import_optional("transformers", extra="openvla").DynamicCache()}
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        logits: list[th.Tensor] = []
        while True:
            hidden = llama(
                inputs_embeds=embeddings,
                # without padding, plain causal attention has the faster kernels
                attention_mask=mask if padded else None,
                position_ids=positions,
                use_cache=True,
                **cache,
            ).last_hidden_state[:, -1]
            if self.checks_first_words:
                self._look_at_first_words(hidden)
            logits.append(F.linear(hidden, head).float())
            if len(logits) == action_dim:
                return th.stack(logits, dim=1)
            words = logits[-1].argmax(dim=1, keepdim=True) + first
            embeddings = self.embed_words(words)
            mask = F.pad(mask, (0, 1), value=1)
            positions = positions[:, -1:] + 1

    def _look_at_first_words(self, hidden: th.Tensor) -> None:
        """Whether actions is what the checkpoint answers with: once, since it takes the logits of the whole vocabulary."""
        first = self.config.first_action_token
        words = self.language_model.lm_head(hidden).argmax(dim=1)
        others = (words < first) | (words >= first + self.config.action_bins)
        refuse_words(int(others.sum()), len(words))
        self.checks_first_words = False

    def embed_words(self, words: th.Tensor) -> th.Tensor:
        """
        Look words up.

        :param words: Token ids, of any shape.
        :return: Their embeddings, of shape (\\*words.shape, hidden_size).
        """
        embedded: th.Tensor = self.language_model.get_input_embeddings()(words)
        return embedded

    def assemble(self, images: th.Tensor, prompts: Sequence[Sequence[int]]) -> tuple[th.Tensor, th.Tensor]:
        """
        Put the patches between the first word of each prompt and the rest of it. What a shorter rest lacks is padding between
        the two: so no row begins with padding, and all end at once.

        :param images: See ``action_logits``.
        :param prompts: See ``action_logits``.
        :return: Embeddings of shape (n, length, hidden_size) and the mask of what is no padding, of shape (n, length).
        """
        patches = self.projector(self.vision_backbone(images))
        longest = max(len(prompt) for prompt in prompts)
        words = th.tensor(
            [[prompt[0], *[0] * (longest - len(prompt)), *prompt[1:]] for prompt in prompts], device=images.device
        )
        embedded = self.embed_words(words).to(patches.dtype)
        embeddings = th.cat([embedded[:, :1], patches, embedded[:, 1:]], dim=1)
        padding = th.tensor([longest - len(prompt) for prompt in prompts], device=images.device)
        places = th.arange(embeddings.shape[1], device=images.device) - 1 - patches.shape[1]
        mask = (places < 0) | (places >= padding[:, None])
        return embeddings, mask.long()

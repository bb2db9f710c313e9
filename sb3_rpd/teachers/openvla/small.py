"""Makes an OpenVLA of any geometry with untrained weights, to be trained from scratch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.teachers.openvla.config import OPENVLA_7B, OpenVLAConfig
from sb3_rpd.teachers.openvla.model import OpenVLAModel
from sb3_rpd.teachers.openvla.processing import PROMPT
from sb3_rpd.teachers.openvla.vision import VisionTrunk
from sb3_rpd.teachers.openvla.writing import preprocessor_config, write_json, write_tokenizer, write_weights

_SPECIAL_WORDS = ("<unk>", "<s>", "</s>", "\u2581")
_ACTION_BINS = 256
_PADDING = 64


def make_small_openvla(
    folder: str | Path,
    instructions: Iterable[str],
    *,
    image_size: int = 224,
    patch_size: int = 28,
    vision_width: int = 128,
    vision_depth: int = 3,
    vision_heads: int = 4,
    vision_mlp: int = 384,
    text_width: int = 128,
    text_depth: int = 2,
    text_heads: int = 4,
    text_mlp: int = 256,
    dtype: th.dtype = th.float32,
    seed: int = 0,
) -> Path:
    """
    Write a checkpoint with one vision trunk and untrained weights, in the published layout.

    The defaults make 1.3 million parameters, which a CPU trains in minutes. The tokenizer knows the words of the
    instructions and no others: one word each, so that prompts are short. There are no action statistics yet; training
    writes those of its data.

    :param folder: Where to write it.
    :param instructions: The instructions that it is to be trained on.
    :param image_size: Side of the input, in pixels.
    :param patch_size: Side of a patch, in pixels.
    :param vision_width: Width of the trunk's tokens, a multiple of 4.
    :param vision_depth: Its blocks; the features are those of the last but one, so the last one stays as it is.
    :param vision_heads: Its attention heads.
    :param vision_mlp: Width of the hidden layers in its blocks.
    :param text_width: Width of a word embedding.
    :param text_depth: Layers of the language model.
    :param text_heads: Its attention heads.
    :param text_mlp: Width of the hidden layers in it.
    :param dtype: Precision of the weights in the file, and of those in the checkpoints that a training from it writes.
    :param seed: Of the weights.
    :return: ``folder``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    words = _vocabulary(instructions)
    padding = len(words) + _ACTION_BINS
    trunk = dict(
        image_size=image_size,
        patch_size=patch_size,
        embed_dim=vision_width,
        depth=vision_depth,
        num_heads=vision_heads,
        mlp_dim=vision_mlp,
        class_token=True,
        register_tokens=4,
    )
    text = dict(
        model_type="llama",
        vocab_size=padding + _PADDING,
        pad_token_id=padding,
        hidden_size=text_width,
        intermediate_size=text_mlp,
        num_hidden_layers=text_depth,
        num_attention_heads=text_heads,
    )
    config = _config(trunk, text, dtype)
    write_json(folder / "config.json", config)
    half = {"mean": [0.5] * 3, "std": [0.5] * 3}
    write_json(folder / "preprocessor_config.json", preprocessor_config([image_size], [half]))
    _write_tokenizer(folder, words)
    weights = _draw(OpenVLAConfig.from_json(config), seed)
    write_weights(folder, {name: tensor.to(dtype) for name, tensor in weights.items()})
    return folder


def _config(trunk: Mapping[str, Any], text: Mapping[str, Any], dtype: th.dtype) -> dict[str, Any]:
    return {
        **OPENVLA_7B,
        "hf_llm_id": None,
        "image_sizes": [trunk["image_size"]],
        "pad_token_id": text["pad_token_id"],
        "text_config": dict(text),
        "timm_model_ids": None,
        "timm_override_act_layers": [None],
        "torch_dtype": str(dtype).removeprefix("torch."),
        "use_fused_vision_backbone": False,
        "vision_trunks": [dict(trunk)],
        "norm_stats": {},
    }


def _vocabulary(instructions: Iterable[str]) -> list[str]:
    prompts = [PROMPT.format(instruction=instruction.lower()) for instruction in instructions]
    if not prompts:
        raise ValueError(
            "make_small_openvla needs the instructions that it is to be trained on: their words are all it knows."
        )
    return list(dict.fromkeys([*_SPECIAL_WORDS, *(word for prompt in prompts for word in prompt.split())]))


def _write_tokenizer(folder: Path, words: Sequence[str]) -> None:
    tokenizers = import_optional("tokenizers", extra="openvla")
    vocabulary = [*words, *(f"<action_{index}>" for index in range(_ACTION_BINS)), "<PAD>"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.WordLevel(vocab={word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    write_tokenizer(folder, tokenizer)


def _draw(config: OpenVLAConfig, seed: int) -> dict[str, th.Tensor]:
    with th.random.fork_rng(devices=[]):
        th.manual_seed(seed)
        model = OpenVLAModel(config)
        trunk = model.vision_backbone.featurizer
        for token in (trunk.cls_token, trunk.reg_token):
            if token is not None:
                token.normal_(std=0.5)
    trunk.pos_embed.copy_(0.5 * _positions(trunk))
    return dict(model.state_dict())


def _positions(trunk: VisionTrunk) -> th.Tensor:
    """
    Two-dimensional sine-cosine position embeddings: half of the channels tell the row, half the column.

    Left at zero, patches would be a set without order at first, and a short training does not get far from that.
    """
    _, patches, width = trunk.pos_embed.shape
    side = math.isqrt(patches)
    frequencies = 100.0 ** -(th.arange(width // 4) / (width // 4))
    angles = th.arange(side)[:, None] * frequencies
    along = th.cat([angles.sin(), angles.cos()], dim=1)
    rows, columns = along[:, None].expand(side, side, -1), along[None].expand(side, side, -1)
    return th.cat([rows, columns], dim=2).reshape(1, patches, width)

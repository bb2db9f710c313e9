"""Makes a checkpoint with the layout of OpenVLA's and random weights, small enough for tests and examples."""

import math
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.teachers.openvla.config import OPENVLA_7B, OpenVLAConfig
from sb3_rpd.teachers.openvla.model import OpenVLAModel
from sb3_rpd.teachers.openvla.writing import preprocessor_config, write_json, write_tokenizer, write_weights

# <unk>, <s>, </s>, the space and the printable characters of ASCII: one word each. Then the words for actions.
_WORDS = ["<unk>", "<s>", "</s>", "\u2581", "\n", *(chr(code) for code in range(33, 127))]
_ACTION_BINS = 256
_PADDING = 64

_CONFIG: dict[str, Any] = {
    **OPENVLA_7B,
    "hf_llm_id": None,
    "image_sizes": [56, 56],
    "pad_token_id": len(_WORDS) + _ACTION_BINS,
    "text_config": {
        "model_type": "llama",
        "vocab_size": len(_WORDS) + _ACTION_BINS + _PADDING,
        "pad_token_id": len(_WORDS) + _ACTION_BINS,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    },
    "timm_model_ids": None,
    "torch_dtype": "float32",
    "vision_trunks": [
        {
            "image_size": 56,
            "patch_size": 14,
            "embed_dim": 32,
            "depth": 3,
            "num_heads": 4,
            "mlp_dim": 64,
            "class_token": True,
            "register_tokens": 4,
            "layer_scale": True,
        },
        {
            "image_size": 56,
            "patch_size": 14,
            "embed_dim": 24,
            "depth": 3,
            "num_heads": 2,
            "mlp_dim": 90,
            "attention_pool": True,
        },
    ],
    "norm_stats": {
        "bridge_orig": {"action": {"q01": [-0.05] * 6 + [0.0], "q99": [0.05] * 6 + [1.0], "mask": [True] * 6 + [False]}}
    },
}

# The gripper is not normalized, as in OpenVLA's own data
_STATISTICS = {
    "maniskill_human:7.0.0": {
        "action": {
            "q01": [-0.9, -0.8, -0.7, -0.4, -0.3, -0.6, 0.0],
            "q99": [0.7, 0.8, 0.9, 0.2, 0.3, 0.6, 1.0],
            "mask": [True, True, True, True, True, True, False],
        }
    }
}

_NORMALIZATION = (
    {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]},
    {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]},
)


def make_tiny_openvla(folder: str | Path, seed: int = 0) -> Path:
    """
    Write a checkpoint whose files and tensors are named as those of the published ones, in two shards.

    Its answers mean nothing, but they do depend on the frame and on the instruction; the words for actions are the likeliest
    ones. It knows the statistics "maniskill_human:7.0.0" and "bridge_orig".

    :param folder: Where to write it.
    :param seed: Of the weights, which are drawn from a generator of their own.
    :return: ``folder``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "config.json", _CONFIG)
    write_json(folder / "dataset_statistics.json", _STATISTICS)
    write_json(folder / "preprocessor_config.json", preprocessor_config(_CONFIG["image_sizes"], _NORMALIZATION))
    _write_tokenizer(folder)
    _write_weights(folder, seed)
    return folder


def _write_tokenizer(folder: Path) -> None:
    """A tokenizer that works as Llama's does, with characters for words: spaces become U+2581, <s> goes in front."""
    tokenizers = import_optional("tokenizers", extra="openvla")
    words = [*_WORDS, *(f"<action_{index}>" for index in range(_ACTION_BINS)), "<PAD>"]
    tokenizer = tokenizers.Tokenizer(
        tokenizers.models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=[], unk_token="<unk>")
    )
    tokenizer.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("\u2581"), tokenizers.normalizers.Replace(" ", "\u2581")]
    )
    write_tokenizer(folder, tokenizer)


def _write_weights(folder: Path, seed: int) -> None:
    with th.device("meta"):
        model = OpenVLAModel(OpenVLAConfig.from_json(_CONFIG))
    generator = th.Generator().manual_seed(seed)
    weights = {name: _draw(name, tuple(tensor.shape), generator) for name, tensor in model.state_dict().items()}
    first = model.config.first_action_token
    # as in a trained model, the words for actions win against all others, and few of them share the probability
    head = weights["language_model.lm_head.weight"]
    head[:first] *= 0.01
    head[first : first + _ACTION_BINS] *= 4
    head[first + _ACTION_BINS :] *= 0.01
    total = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    # two shards: the first gets somewhat more than half
    write_weights(folder, weights, shard_bytes=int(0.6 * total))


def _draw(name: str, shape: tuple[int, ...], generator: th.Generator) -> th.Tensor:
    """Random numbers of a size that keeps the signal alive through all layers, and no two parameters of which are alike."""
    noise = th.randn(shape, generator=generator)
    if "norm" in name or "scale_factor" in name:
        return 0.1 * noise + (0.0 if name.endswith("bias") else 1.0)
    if name.endswith("bias"):
        return 0.1 * noise
    if "embed_tokens" in name or "embed" in name.rsplit(".", 1)[-1] or name.endswith("_token"):
        return noise
    return noise * math.sqrt(2.0 / math.prod(shape[1:]))

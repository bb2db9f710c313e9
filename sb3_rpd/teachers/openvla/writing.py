"""Writes the files of a checkpoint in the published layout."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.common.optional_imports import import_optional

#: The most bytes in one file of weights, as transformers has it.
SHARD_BYTES = 5 * 10**9


def write_json(path: Path, content: Any) -> None:
    """
    :param path: The file.
    :param content: What is to be in it.
    """
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def write_weights(folder: Path, tensors: Mapping[str, th.Tensor], shard_bytes: int = SHARD_BYTES) -> None:
    """
    Write weights as safetensors: one file, or numbered shards and their index. Files of other weights are removed.

    :param folder: The checkpoint.
    :param tensors: By their published names.
    :param shard_bytes: The most bytes in one file, unless a single tensor has more.
    """
    for path in (*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"):
        path.unlink(missing_ok=True)
    shards = _deal_out(tensors, shard_bytes)
    files = [f"model-{number:05d}-of-{len(shards):05d}.safetensors" for number in range(1, len(shards) + 1)]
    if len(shards) == 1:
        files = ["model.safetensors"]
    save_file = import_optional("safetensors.torch", extra="openvla").save_file
    for file, names in zip(files, shards, strict=True):
        save_file({name: tensors[name].contiguous() for name in names}, folder / file, metadata={"format": "pt"})
    if len(shards) > 1:
        weight_map = {name: file for file, names in zip(files, shards, strict=True) for name in names}
        total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": weight_map})


def _deal_out(tensors: Mapping[str, th.Tensor], shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    filled = 0
    for name in sorted(tensors):
        size = tensors[name].numel() * tensors[name].element_size()
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += size
    return shards


def preprocessor_config(sizes: Sequence[int], normalizations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    :param sizes: The side of each trunk's input, in pixels.
    :param normalizations: ``mean`` and ``std`` of each, three numbers each.
    :return: The content of preprocessor_config.json. What counts in it is rounded to bfloat16, as in the published files.
    """
    return {
        "image_processor_type": "PrismaticImageProcessor",
        "image_resize_strategy": "resize-naive",
        "input_sizes": [[3, size, size] for size in sizes],
        "interpolations": ["bicubic"] * len(sizes),
        "means": [one["mean"] for one in normalizations],
        "stds": [one["std"] for one in normalizations],
        "tvf_crop_params": [{"output_size": [size, size]} for size in sizes],
        "tvf_do_letterbox": False,
        "tvf_letterbox_fill": None,
        "tvf_normalize_params": [
            {name: th.tensor(one[name]).bfloat16().tolist() for name in ("mean", "std")} | {"inplace": False}
            for one in normalizations
        ],
        "tvf_resize_params": [
            {"antialias": True, "interpolation": 3, "max_size": None, "size": [size, size]} for size in sizes
        ],
        "use_fused_vision_backbone": len(sizes) == 2,
    }


def write_tokenizer(folder: Path, tokenizer: Any) -> None:
    """
    :param folder: The checkpoint.
    :param tokenizer: A ``tokenizers.Tokenizer`` whose first words are <unk>, <s> and </s>. It is made to put <s> in front.
    """
    processors = import_optional("tokenizers.processors", extra="openvla")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    write_json(
        folder / "tokenizer_config.json",
        {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"},
    )

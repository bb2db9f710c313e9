"""Writes what was trained as a checkpoint in the published layout."""

import shutil
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.teachers.openvla.checkpoint import read_json
from sb3_rpd.teachers.openvla.writing import write_json, write_weights

# of the checkpoint that was trained: weights, what is said of them, other folders
_NOT_COPIED = ("*.safetensors", "*.safetensors.index.json", "*.bin", "*.bin.index.json", "dataset_statistics.json", "README*")


def write_checkpoint(source: Path, folder: Path, weights: dict[str, th.Tensor], statistics: dict[str, dict[str, Any]]) -> None:
    """
    Write a checkpoint: weights and statistics of its own, everything else as in the one that was trained.

    The statistics stand in config.json, beside those that the other one has, and in dataset_statistics.json.

    :param source: The other one.
    :param folder: Where to write it.
    :param weights: By their published names; they are written in the precision that config.json names.
    :param statistics: By ``unnorm_key``, with ``action`` in each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    ignored = shutil.ignore_patterns(*_NOT_COPIED)(str(source), [path.name for path in source.iterdir()])
    for path in source.iterdir():
        if path.is_file() and path.name not in ignored:
            shutil.copyfile(path, folder / path.name)
    config = read_json(source, "config.json")
    config["norm_stats"] = {**(config.get("norm_stats") or {}), **statistics}
    write_json(folder / "config.json", config)
    write_json(folder / "dataset_statistics.json", statistics)
    dtype = getattr(th, str(config.get("torch_dtype") or "float32"))
    write_weights(folder, {name: tensor.to(dtype) for name, tensor in weights.items()})

"""Changes that tests make to the files of a checkpoint."""

import json
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch as th


def edit_json(folder: Path, name: str, **changes: object) -> None:
    """Set keys of a file; None takes a key away."""
    content = {**json.loads((folder / name).read_text()), **changes}
    (folder / name).write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def edit_config(folder: Path, **changes: object) -> None:
    edit_json(folder, "config.json", **changes)


def written_tensors(folder: Path) -> dict[str, th.Tensor]:
    tensors: dict[str, th.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        tensors.update(safetensors.torch.load_file(path))
    return tensors


def remove_weights(folder: Path) -> None:
    for path in [*folder.glob("*.safetensors"), folder / "model.safetensors.index.json"]:
        path.unlink()


def edit_first_shard(folder: Path, edit: Callable[[dict], object]) -> None:
    """Change the tensors of the first shard and leave the index as it is."""
    path = folder / "model-00001-of-00002.safetensors"
    tensors = safetensors.torch.load_file(path)
    edit(tensors)
    safetensors.torch.save_file(tensors, path)

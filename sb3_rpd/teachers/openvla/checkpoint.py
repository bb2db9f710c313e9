"""Reads the files of an OpenVLA checkpoint: a local folder, or a repository on the Hugging Face hub."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.model import OpenVLAModel

# Not the weights as pickles, nor the Python code that published repositories carry
_FILES = ("*.json", "*.safetensors")


def find_checkpoint(checkpoint: str | Path, revision: str | None = None) -> Path:
    """
    Find the folder of a checkpoint; download what is not there yet.

    :param checkpoint: A folder, or the id of a repository on the hub.
    :param revision: Branch, tag or commit of that repository; None for the newest. Of no meaning for a folder.
    :raises TeacherError: if it is neither, or cannot be reached.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        return folder
    hub = import_optional("huggingface_hub", extra="openvla")
    try:
        return Path(hub.snapshot_download(str(checkpoint), revision=revision, allow_patterns=list(_FILES)))
    except Exception as error:  # the hub's errors have no common class over the releases
        raise TeacherError(
            f"{checkpoint} is no folder, and the Hugging Face hub does not give it ({type(error).__name__}: {error}). "
            "Check the name and the network, or download the repository elsewhere and pass its folder."
        ) from error


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """
    Read one of a checkpoint's files.

    :param folder: The checkpoint.
    :param name: The file.
    :raises TeacherError: if it is missing or broken.
    """
    try:
        content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TeacherError(f"{folder} is no complete OpenVLA checkpoint: {name} cannot be read ({error}).") from error
    return content


def read_action_statistics(folder: Path, unnorm_key: str) -> dict[str, Any]:
    """
    Read how the actions of one data set were distributed.

    They stand in config.json (``norm_stats``); those of a fine-tuning's own data are in dataset_statistics.json, which has
    the last word.

    :param folder: The checkpoint.
    :param unnorm_key: The data set.
    :return: ``q01``, ``q99`` (lists) and, if only some dimensions are normalized, ``mask``.
    :raises TeacherError: if the data set is unknown; lists those that are known.
    """
    statistics = dict(read_json(folder, "config.json").get("norm_stats") or {})
    if (folder / "dataset_statistics.json").is_file():
        statistics.update(read_json(folder, "dataset_statistics.json"))
    if unnorm_key not in statistics:
        raise TeacherError(
            f"The checkpoint {folder} has no statistics for unnorm_key={unnorm_key!r}; it knows {sorted(statistics)}."
        )
    action: dict[str, Any] = statistics[unnorm_key]["action"]
    return action


def load_model(folder: Path, device: th.device, dtype: th.dtype) -> OpenVLAModel:
    """
    Make the network of a checkpoint.

    :param folder: The checkpoint.
    :param device: Where to put it. Each tensor goes there by itself: the weights are never whole in the host's memory.
    :param dtype: The precision of its weights and activations.
    :raises TeacherError: if there are no safetensors, or their tensors are not those of the architecture; lists which.
    """
    config = OpenVLAConfig.from_json(read_json(folder, "config.json"))
    with th.device("meta"):
        model = OpenVLAModel(config)
    expected = model.state_dict()
    files = _find_tensors(folder)
    _compare(f"tensors of {folder}", expected, files)
    safe_open = import_optional("safetensors", extra="openvla").safe_open
    weights: dict[str, th.Tensor] = {}
    for path in sorted(set(files.values())):
        with safe_open(path, framework="pt", device="cpu") as shard:
            for name in shard.keys():  # noqa: SIM118 (not a dict)
                tensor = shard.get_tensor(name)
                if tensor.shape != expected[name].shape:
                    raise TeacherError(
                        f"{path.name}: {name} has the shape {tuple(tensor.shape)}, config.json implies "
                        f"{tuple(expected[name].shape)}."
                    )
                weights[name] = tensor.to(device, dtype)
    model.load_state_dict(weights, assign=True)
    model.reset_rotary_embeddings(device)
    # assigned parameters ask for gradients again
    model.requires_grad_(False)
    return model


def _find_tensors(folder: Path) -> dict[str, Path]:
    """The file of each tensor, from the files themselves; the index is only asked which files there should be."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        paths = sorted({folder / name for name in read_json(folder, index.name)["weight_map"].values()})
    else:
        paths = sorted(folder.glob("*.safetensors"))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise TeacherError(f"The checkpoint {folder} is not complete: {missing} are missing. Download it again.")
    if not paths:
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        raise TeacherError(
            f"{folder} has no .safetensors file"
            + (
                f", only {pickles}. Those are pickles, which can run any code when they are loaded, so they are not read. "
                "Convert them where you trust them: load with torch.load(path, weights_only=True), save with "
                "safetensors.torch.save_file(tensors, 'model.safetensors')."
                if pickles
                else "."
            )
        )
    safe_open = import_optional("safetensors", extra="openvla").safe_open
    tensors: dict[str, Path] = {}
    for path in paths:
        with safe_open(path, framework="pt") as shard:
            tensors.update(dict.fromkeys(shard.keys(), path))
    return tensors


def _compare(what: str, expected: Mapping[str, Any], found: Iterable[str]) -> None:
    missing, left_over = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    if missing or left_over:
        raise TeacherError(f"The {what} are not those of its config.json. Missing: {missing}. Left over: {left_over}.")

"""Reads the files of an OpenVLA checkpoint: a local folder, or a repository on the Hugging Face hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.wording import shortened
from sb3_rpd.teachers.openvla.config import OpenVLAConfig, entry
from sb3_rpd.teachers.openvla.lookalikes import refuse_lookalikes, refuse_tensors, refuse_type
from sb3_rpd.teachers.openvla.model import OpenVLAModel

# Downloaded in this order, so that what is refused is refused before the weights come. Not the weights as pickles. The Python
# code that published repositories carry tells how they decode: it is looked at, and copied where such a checkpoint is
# fine-tuned, but never run.
_FILES = (("*.json", "modeling_*.py", "*_prismatic.py", "tokenizer.model"), ("*.safetensors",))
_MOST_KEYS_SHOWN = 30


def find_checkpoint(checkpoint: str | Path, revision: str | None = None) -> Path:
    """
    Find the folder of a checkpoint; download what is not there yet.

    :param checkpoint: A folder, or the id of a repository on the hub.
    :param revision: Branch, tag or commit of that repository; None for the newest. Of no meaning for a folder.
    :raises TeacherError: if it is neither, cannot be reached, or is no checkpoint that ``OpenVLATeacher`` can use.
    """
    folder = Path(checkpoint).expanduser()
    if folder.is_dir():
        _check(folder)
        return folder
    for patterns in _FILES:
        folder = _download(str(checkpoint), revision, patterns)
        _check(folder)
    return folder


def _download(repository: str, revision: str | None, patterns: tuple[str, ...]) -> Path:
    hub = import_optional("huggingface_hub", extra="openvla")
    try:
        return Path(hub.snapshot_download(repository, revision=revision, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's errors have no common class over the releases
        raise TeacherError(
            f"{repository} is no folder, and the Hugging Face hub does not give it ({type(error).__name__}: {error}). "
            "Check the name and the network, or download the repository elsewhere and pass its folder."
        ) from error


def _check(folder: Path) -> None:
    """Refuse what can be refused without the weights."""
    refuse_lookalikes(folder)
    OpenVLAConfig.from_json(read_json(folder, "config.json"))


def unreadable(path: Path, error: Exception) -> TeacherError:
    """
    Say that a file of a checkpoint cannot be read.

    :param path: The file.
    :param error: What its reader said.
    :return: The error to raise.
    """
    cure = "Download it again."
    if path.is_file():
        with path.open("rb") as file:
            if file.read(40).startswith(b"version https://git-lfs"):
                cure = "It is a pointer of Git LFS to the file: `git lfs pull` fetches the file itself."
    return TeacherError(f"{path.parent} is no complete OpenVLA checkpoint: {path.name} cannot be read ({error}). {cure}")


def read_json(folder: Path, name: str) -> dict[str, Any]:
    """
    Read one of a checkpoint's files.

    :param folder: The checkpoint.
    :param name: The file.
    :raises TeacherError: if it is missing or broken.
    """
    path = folder / name
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__} in place of an object")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    return content


def read_action_statistics(folder: Path, unnorm_key: str) -> dict[str, Any]:
    """
    Read how the actions of one data set were distributed.

    They stand in config.json (``norm_stats``); those of a fine-tuning's own data are in dataset_statistics.json, which has
    the last word.

    :param folder: The checkpoint.
    :param unnorm_key: The data set.
    :return: ``q01``, ``q99`` (lists of one length) and, if only some dimensions are normalized, ``mask`` (of that length).
    :raises TeacherError: if the data set is unknown (lists those that are known), or its statistics cannot be used.
    """
    statistics = dict(read_json(folder, "config.json").get("norm_stats") or {})
    if (folder / "dataset_statistics.json").is_file():
        statistics.update(read_json(folder, "dataset_statistics.json"))
    if unnorm_key not in statistics:
        raise TeacherError(
            f"The checkpoint {folder} has no statistics for unnorm_key={unnorm_key!r}; it knows "
            f"{shortened(sorted(statistics), limit=_MOST_KEYS_SHOWN)}."
        )
    action = statistics[unnorm_key].get("action") if isinstance(statistics[unnorm_key], dict) else None
    action = action if isinstance(action, dict) else {}
    _check_statistics(f"{unnorm_key!r} in {folder}", action)
    return {name: action[name] for name in ("q01", "q99", "mask") if action.get(name) is not None}


def _check_statistics(whose: str, action: Mapping[str, Any]) -> None:
    if action.get("q01") is None or action.get("q99") is None:
        raise TeacherError(
            f"The action statistics of {whose} have {shortened(action, limit=10)}, but not q01 and q99, by which OpenVLA "
            "un-normalizes. Add them to dataset_statistics.json: np.quantile(actions, [0.01, 0.99], axis=0) of its data."
        )
    try:
        low, high = (np.asarray(action[name], dtype=np.float64) for name in ("q01", "q99"))
    except (TypeError, ValueError) as error:
        raise TeacherError(
            f"The action statistics of {whose} have a q01 or q99 that is no list of numbers ({error}). Correct them in "
            "dataset_statistics.json."
        ) from error
    lengths = {name: np.size(action[name]) for name in ("q01", "q99", "mask") if action.get(name) is not None}
    if low.ndim != 1 or len(set(lengths.values())) != 1:
        raise TeacherError(
            f"The action statistics of {whose} need one number per dimension of an action in each list; the lengths are "
            f"{lengths}. Correct them in dataset_statistics.json."
        )
    wrong = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (low <= high)))
    if len(wrong):
        raise TeacherError(
            f"The action statistics of {whose} have no range from q01 up to q99 in dimension {wrong[0]}: {low[wrong[0]]} and "
            f"{high[wrong[0]]}. Correct them in dataset_statistics.json."
        )


def load_model(folder: Path, device: th.device, dtype: th.dtype) -> OpenVLAModel:
    """
    Make the network of a checkpoint.

    :param folder: The checkpoint.
    :param device: Where to put it. Each tensor goes there by itself: the weights are never whole in the host's memory.
    :param dtype: The precision of its weights and activations.
    :raises TeacherError: if there are no safetensors, or their tensors are not those of the architecture; says which.
    """
    config = OpenVLAConfig.from_json(read_json(folder, "config.json"))
    with th.device("meta"):
        model = OpenVLAModel(config)
    expected = model.state_dict()
    files = _find_tensors(folder)
    refuse_tensors(folder, files)
    _compare_names(folder, set(expected), set(files))
    weights: dict[str, th.Tensor] = {}
    for path in sorted(set(files.values())):
        with _open(path) as shard:
            for name in shard.keys():  # noqa: SIM118 (not a dict)
                tensor = shard.get_tensor(name)
                refuse_type(f"{name} in {path.name}", tensor.dtype)
                if tensor.shape != expected[name].shape:
                    raise TeacherError(
                        f"{path.name}: {name} has the shape {tuple(tensor.shape)}, config.json implies "
                        f"{tuple(expected[name].shape)}. Weights and config.json are of two networks: download both again."
                    )
                weights[name] = tensor.to(device, dtype)
    model.load_state_dict(weights, assign=True)
    model.reset_rotary_embeddings(device)
    # assigned parameters ask for gradients again
    model.requires_grad_(False)
    return model


def _open(path: Path) -> Any:
    safetensors = import_optional("safetensors", extra="openvla")
    try:
        return safetensors.safe_open(path, framework="pt", device="cpu")
    except (OSError, safetensors.SafetensorError) as error:
        raise unreadable(path, error) from error


def _find_files(folder: Path) -> list[Path]:
    """The files with the weights, by the rule of transformers: a single file goes before an index."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if index.is_file():
        weight_map = entry(read_json(folder, index.name), "weight_map", dict, index.name)
        paths = sorted({folder / name for name in weight_map.values()})
    else:
        paths = sorted(folder.glob("*.safetensors"))
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise TeacherError(f"The checkpoint {folder} is not complete: {shortened(missing)} are missing. Download it again.")
    if not paths:
        pickles = sorted(path.name for path in folder.glob("*.bin"))
        raise TeacherError(
            f"{folder} has no .safetensors file"
            + (
                f", only {shortened(pickles)}. Those are pickles, which can run any code when they are loaded, so they are "
                "not read. Convert them where you trust them: load with torch.load(path, weights_only=True), save with "
                "safetensors.torch.save_file(tensors, 'model.safetensors')."
                if pickles
                else ". Download it again."
            )
        )
    return paths


def _find_tensors(folder: Path) -> dict[str, Path]:
    """The file of each tensor, from the files themselves: an index is only asked which files there should be."""
    tensors: dict[str, Path] = {}
    for path in _find_files(folder):
        with _open(path) as shard:
            for name in shard.keys():  # noqa: SIM118 (not a dict)
                if name in tensors:
                    raise TeacherError(
                        f"{folder} has {name} twice, in {tensors[name].name} and in {path.name}. Remove the files that do not "
                        "belong to the checkpoint."
                    )
                tensors[name] = path
    return tensors


def _compare_names(folder: Path, expected: set[str], found: set[str]) -> None:
    missing, surplus = sorted(expected - found), sorted(found - expected)
    if missing or surplus:
        raise TeacherError(
            f"The weights in {folder} are not those of the network that its config.json describes: {len(missing)} of "
            f"{len(expected)} tensors are missing ({shortened(missing)}), {len(surplus)} are surplus ({shortened(surplus)}). "
            "Download the checkpoint again, or convert it to the published layout."
        )

"""The state of a training in one file, from which it goes on as if it had not been interrupted."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.demonstrations.files import write_whole

_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def write_tensors(path: Path, tensors: Mapping[str, th.Tensor], notes: Mapping[str, Any]) -> None:
    """
    Write a safetensors file, all of it or nothing.

    :param path: The file.
    :param tensors: What it holds.
    :param notes: What else it holds: anything that JSON can say.
    """
    save_file = import_optional("safetensors.torch", extra="finetuning").save_file
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    write_whole(path, lambda unfinished: save_file(contiguous, unfinished, metadata={"notes": json.dumps(dict(notes))}))


def read_tensors(path: Path) -> tuple[dict[str, th.Tensor], dict[str, Any]]:
    """
    :param path: What ``write_tensors`` wrote.
    :return: Tensors and notes.
    """
    safetensors = import_optional("safetensors", extra="finetuning")
    with safetensors.safe_open(path, framework="pt", device="cpu") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, json.loads(file.metadata()["notes"])  # noqa: SIM118


def save_training(
    path: Path, parameters: Mapping[str, th.nn.Parameter], optimizer: th.optim.Optimizer, notes: Mapping[str, Any]
) -> None:
    """
    :param path: The file.
    :param parameters: What is trained, by name.
    :param optimizer: An AdamW of these.
    :param notes: What else to keep.
    """
    tensors = {f"weight {name}": parameter.detach() for name, parameter in parameters.items()}
    for name, parameter in parameters.items():
        tensors |= {f"{moment} {name}": value for moment, value in optimizer.state[parameter].items() if moment in _MOMENTS}
    write_tensors(path, tensors, notes)


def restore_training(path: Path, parameters: Mapping[str, th.nn.Parameter], optimizer: th.optim.Optimizer) -> dict[str, Any]:
    """
    :param path: What ``save_training`` wrote.
    :param parameters: What is trained; gets the weights of then.
    :param optimizer: An AdamW of these; gets the moments of then.
    :return: The notes.
    """
    tensors, notes = read_tensors(path)
    for name, parameter in parameters.items():
        parameter.data.copy_(tensors[f"weight {name}"])
        # what has never had a gradient has no moments
        moments = {moment: tensors[f"{moment} {name}"] for moment in _MOMENTS if f"{moment} {name}" in tensors}
        if moments:
            device = parameter.device
            optimizer.state[parameter] = {
                moment: value if moment == "step" else value.to(device) for moment, value in moments.items()
            }
    return notes

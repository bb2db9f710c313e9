"""LoRA: small trained matrices beside frozen large ones, and their sum."""

import torch as th
from torch import nn

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.teachers.openvla.model import OpenVLAModel

# as published: 16, or the rank where that is less
_LARGEST_ALPHA = 16
_ADAPTER = "default"


def add_adapters(model: OpenVLAModel, rank: int, seed: int) -> None:
    """
    Put an adapter beside each linear layer; nothing else is trained from here on. Answers stay the same at first.

    ``lm_head`` gets none: only its rows for action words are computed when the network answers, straight from its weights,
    past an adapter.

    :param model: The network; it is changed.
    :param rank: Rank of the adapters.
    :param seed: Of their first weights.
    """
    peft = import_optional("peft", extra="finetuning")
    head = model.language_model.lm_head
    layers = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear) and layer is not head]
    config = peft.LoraConfig(
        r=rank, lora_alpha=min(rank, _LARGEST_ALPHA), lora_dropout=0.0, target_modules=layers, init_lora_weights="gaussian"
    )
    with th.random.fork_rng():
        th.manual_seed(seed)
        peft.get_peft_model(model, config, adapter_name=_ADAPTER)


def merged_weights(model: OpenVLAModel) -> dict[str, th.Tensor]:
    """
    :param model: A network with adapters or without. It stays as it is.
    :return: The weights of a network that answers the same without adapters, by their published names, in the host's memory.
    """
    merged = {name: tensor.detach().cpu() for name, tensor in model.state_dict().items() if ".lora_" not in name}
    for name, layer in model.named_modules():
        if hasattr(layer, "get_delta_weight"):
            weight = merged.pop(f"{name}.base_layer.weight")
            delta = layer.get_delta_weight(_ADAPTER).detach().cpu()
            # summed in the adapter's precision, rounded once
            merged[f"{name}.weight"] = (weight.to(delta.dtype) + delta).to(weight.dtype)
            if layer.base_layer.bias is not None:
                merged[f"{name}.bias"] = merged.pop(f"{name}.base_layer.bias")
    return merged

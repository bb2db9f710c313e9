"""What looks like an OpenVLA checkpoint and must not be read as one: descendants that decode otherwise, LoRA, quantization."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wording import shortened

_OWN_CODE = (
    "OpenVLATeacher would decode it wrongly: serve it with its own code, and ask it with OpenVLAServerTeacher, OpenPITeacher, "
    "VLAgentsTeacher or a FunctionTeacher."
)
_OFT = "OpenVLA-OFT (continuous actions or chunks of actions, decoded in parallel)"
_UNIVLA = "UniVLA (latent actions, decoded by a network of its own)"
_ECOT = "embodied chain of thought (text before the action)"

# Files that a descendant's training writes beside the weights
_FILES = {
    "action_head*": _OFT,
    "proprio_projector*": _OFT,
    "noisy_action_projector*": _OFT,
    "vision_backbone--*": _OFT,
    "action_decoder*": _UNIVLA,
}
# What only a descendant's copy of modeling_prismatic.py says
_CODE = {
    "NUM_ACTIONS_CHUNK": _OFT,
    "def predict_latent_action(": _UNIVLA,
    "return actions, generated_ids": _ECOT,
}
_ADAPTER_TENSORS = (".lora_", ".base_layer.", "base_model.model.")
# bitsandbytes, then GPTQ and AWQ, then float8
_QUANTIZED_TENSORS = (".absmax", ".quant_map", ".SCB", ".qweight", ".qzeros", ".weight_scale", ".weight_scale_inv")


def refuse_lookalikes(folder: Path) -> None:
    """
    Look at all of a checkpoint but its weights. Nothing of it is executed.

    :param folder: The checkpoint.
    :raises TeacherError: if it is a descendant with another decoding, or an adapter; says which and how to use it.
    """
    sign = next(_signs_of_descendants(folder), None)
    if sign is not None:
        name, where = sign
        raise TeacherError(f"{folder} is {name}: {where}. {_OWN_CODE}")
    adapters = sorted(folder.glob("adapter_*"))
    if not (folder / "config.json").is_file():
        adapters += sorted(folder.glob("*/adapter_config.json"))
    if adapters:
        raise TeacherError(
            f"{folder} holds a LoRA adapter ({adapters[0].relative_to(folder)}). Merge it into the model with peft "
            "(merge_and_unload), write that with save_pretrained, and pass its folder; if the weights here are merged "
            "already, remove the adapter's files."
        )


def _signs_of_descendants(folder: Path) -> Iterator[tuple[str, str]]:
    """Whose sign it is, and where it stands."""
    for pattern, name in _FILES.items():
        yield from ((name, f"it has {path.name}") for path in sorted(folder.glob(pattern)))
    tokenizer = folder / "tokenizer.json"
    if tokenizer.is_file() and '"<ACT_0>"' in _text(tokenizer):
        yield _UNIVLA, "its tokenizer has the word <ACT_0>"
    for path in sorted(folder.glob("modeling_*.py")):
        code = _text(path)
        for sign, name in _CODE.items():
            if sign in code:
                yield name, f"its {path.name} has `{sign}` (if only the code is from there, remove that file)"


def refuse_config(config: Mapping[str, Any]) -> None:
    """
    Look at a config.json.

    :param config: The parsed file.
    :raises TeacherError: if it describes quantized weights, or a descendant with another decoding.
    """
    if "vla" in config and "model_type" not in config:
        raise TeacherError(
            "This checkpoint is in the format of OpenVLA's training code. Convert it with that code's "
            "vla-scripts/extern/convert_openvla_weights_to_hf.py, and pass the folder that this writes."
        )
    if config.get("model_type") != "openvla":
        raise TeacherError(f"This is no OpenVLA checkpoint: its config.json says model_type={config.get('model_type')!r}.")
    architectures = config.get("architectures") or []
    if any("OFT" in name for name in architectures) or config.get("num_action_chunks", 1) > 1:
        raise TeacherError(
            f"This checkpoint is {_OFT}: its config.json says architectures={architectures}, "
            f"num_action_chunks={config.get('num_action_chunks')}. {_OWN_CODE}"
        )
    if config.get("quantization_config"):
        raise _quantized(f"quantization_config in its config.json says {_method(config['quantization_config'])}")


def refuse_tensors(folder: Path, names: Iterable[str]) -> None:
    """
    Look at the names of a checkpoint's tensors.

    :param folder: The checkpoint.
    :param names: The names.
    :raises TeacherError: if they are those of an adapter that was not merged, or of quantized weights.
    """
    names = sorted(names)
    adapted = [name for name in names if any(part in f".{name}" for part in _ADAPTER_TENSORS)]
    if adapted:
        raise TeacherError(
            f"{folder} has {len(adapted)} tensors of a LoRA adapter that is not merged ({shortened(adapted, limit=1)}). "
            "Merge it with peft (merge_and_unload), write the model with save_pretrained, and pass that folder."
        )
    quantized = [name for name in names if name.endswith(_QUANTIZED_TENSORS) or ".quant_state." in name]
    if quantized:
        raise _quantized(f"{folder} has {shortened(quantized, limit=1)}")


def refuse_type(what: str, dtype: th.dtype) -> None:
    """
    Look at the type of a tensor that the network has.

    :param what: Which it is.
    :param dtype: Its type.
    :raises TeacherError: if it is none that networks are computed in.
    """
    if dtype not in (th.bfloat16, th.float16, th.float32, th.float64):
        raise _quantized(f"{what} is {dtype}")


def refuse_words(others: int, rows: int) -> None:
    """
    Look at the likeliest first words of answers, among all words of the vocabulary.

    :param others: In how many rows it is none that stands for an action. In OpenVLA it practically always is one.
    :param rows: The number of rows.
    :raises TeacherError: if it is more than half of them.
    """
    if 2 * others > rows:
        raise TeacherError(
            f"The checkpoint does not answer with an action: in {others} of {rows} rows its likeliest first word is another "
            f"one. Either its weights are damaged, or it is a descendant that begins with something else, such as {_ECOT}. "
            f"{_OWN_CODE}"
        )


def _quantized(what: str) -> TeacherError:
    return TeacherError(
        f"The weights are quantized ({what}), which OpenVLATeacher does not read. Pass the checkpoint that they were made "
        "from, in 16 or 32 bits, or load them with transformers, call dequantize() and write them with save_pretrained."
    )


def _method(quantization: Mapping[str, Any]) -> str:
    bits = [name for name, on in quantization.items() if name.startswith("load_in_") and on is True]
    return ", ".join([str(quantization.get("quant_method", "quantized")), *bits])


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")

"""The architecture of an OpenVLA checkpoint, as its config.json describes it."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wording import shortened
from sb3_rpd.teachers.openvla.lookalikes import refuse_config

#: The part of OpenVLA-7B's config.json that describes the network; its fine-tuned descendants have the same.
OPENVLA_7B: dict[str, Any] = {
    "arch_specifier": "no-align+fused-gelu-mlp",
    "architectures": ["OpenVLAForActionPrediction"],
    "hf_llm_id": "meta-llama/Llama-2-7b-hf",
    "image_resize_strategy": "resize-naive",
    "image_sizes": [224, 224],
    "llm_backbone_id": "llama2-7b-pure",
    "llm_max_length": 2048,
    "model_type": "openvla",
    "n_action_bins": 256,
    "pad_to_multiple_of": 64,
    "pad_token_id": 32000,
    "text_config": {"model_type": "llama", "pad_token_id": 32000, "torch_dtype": "bfloat16", "vocab_size": 32064},
    "timm_model_ids": ["vit_large_patch14_reg4_dinov2.lvd142m", "vit_so400m_patch14_siglip_224"],
    "timm_override_act_layers": [None, None],
    "torch_dtype": "bfloat16",
    "use_fused_vision_backbone": True,
    "vision_backbone_id": "dinosiglip-vit-so-224px",
}

# What a text_config that does not say otherwise means: the defaults of the transformers release (4.40) that wrote the
# published files, and that left out of them whatever was its default. Notably the norm's epsilon is not Llama-2's own 1e-5.
_LLAMA_DEFAULTS: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "attention_bias": False,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
}


def entry(content: Any, key: str, kind: type, file: str) -> Any:
    """
    Take what a checkpoint's file must have.

    :param content: The parsed file, or a part of it.
    :param key: The name.
    :param kind: Its type: ``dict`` or ``list``, for example.
    :param file: The file's name.
    :raises TeacherError: if it is not there, or of another type.
    """
    found = content.get(key) if isinstance(content, dict) else None
    if not isinstance(found, kind):
        raise TeacherError(
            f"The checkpoint's {file} needs a {kind.__name__} called {key!r} and has "
            f"{'none' if found is None else f'a {type(found).__name__}'}: take the published {file}."
        )
    return found


@dataclass(frozen=True)
class TrunkConfig:
    """
    The geometry of one vision transformer.

    :param image_size: Side of its square input, in pixels; what exceeds a multiple of the patch size is not looked at.
    :param patch_size: Side of a patch, in pixels.
    :param embed_dim: Width of a token.
    :param depth: Number of blocks. The features are those of the last block but one.
    :param num_heads: Attention heads of each block.
    :param mlp_dim: Width of the hidden layer in each block.
    :param class_token: Whether a class token precedes the patches.
    :param register_tokens: How many register tokens precede the patches.
    :param layer_scale: Whether each branch of a block is scaled by a learned vector.
    :param attention_pool: Whether the checkpoint has a pooling head; no feature comes from it.
    """

    image_size: int
    patch_size: int
    embed_dim: int
    depth: int
    num_heads: int
    mlp_dim: int
    class_token: bool = False
    register_tokens: int = 0
    layer_scale: bool = False
    attention_pool: bool = False

    @property
    def num_patches(self) -> int:
        """Number of patches that an image is cut into."""
        return (self.image_size // self.patch_size) ** 2


_DINOV2 = dict(
    patch_size=14, embed_dim=1024, depth=24, num_heads=16, mlp_dim=4096, class_token=True, register_tokens=4, layer_scale=True
)
_SIGLIP = dict(patch_size=14, embed_dim=1152, depth=27, num_heads=16, mlp_dim=4304, attention_pool=True)

#: The trunks that published checkpoints name, by their name in the library that they come from.
KNOWN_TRUNKS: dict[str, dict[str, Any]] = {
    "vit_large_patch14_reg4_dinov2.lvd142m": _DINOV2,
    "vit_so400m_patch14_siglip_224": _SIGLIP,
    "vit_so400m_patch14_siglip_384": _SIGLIP,
}


@dataclass(frozen=True)
class OpenVLAConfig:
    """
    The architecture of a checkpoint.

    :param trunks: One vision trunk, or two whose features are put side by side.
    :param text: The arguments of transformers' ``LlamaConfig``.
    :param action_bins: Number of words that stand for actions: the last ones before the padding of the vocabulary.
    :param vocab_padding: Rows of the word embedding beyond the tokenizer's vocabulary.
    :param chat_prompt: Whether the model was trained with the prompt of version 0.1, a chat between user and assistant.
    """

    trunks: tuple[TrunkConfig, ...]
    text: Mapping[str, Any]
    action_bins: int
    vocab_padding: int
    chat_prompt: bool

    @property
    def first_action_token(self) -> int:
        """The first of the ``action_bins`` words that stand for actions."""
        return int(self.text["vocab_size"]) - self.vocab_padding - self.action_bins

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> "OpenVLAConfig":
        """
        Read what a config.json says.

        Trunks are named by ``timm_model_ids``. For geometries without such a name there is one key that published files do
        not have, ``vision_trunks``: a list with the fields of ``TrunkConfig`` for each trunk.

        :param config: The parsed file.
        :raises TeacherError: if it is no OpenVLA, or one that was changed in a way that is not supported.
        """
        refuse_config(config)
        text = {**_LLAMA_DEFAULTS, **entry(config, "text_config", dict, "config.json")}
        if text.pop("model_type", "llama") != "llama":
            raise TeacherError(f"Only Llama is supported as the language model, not {config['text_config']['model_type']!r}.")
        if "rope_parameters" in text:  # where transformers 5 writes it
            text["rope_theta"] = text["rope_parameters"]["rope_theta"]
        # the teacher chooses the precision, not the file
        text = {key: value for key, value in text.items() if key not in ("torch_dtype", "dtype")}
        if any(config.get("timm_override_act_layers") or []):
            raise TeacherError(
                f"Vision trunks with other activations than their own are not supported: {config['timm_override_act_layers']}."
            )
        return cls(
            trunks=_read_trunks(config),
            text=text,
            action_bins=config.get("n_action_bins", 256),
            vocab_padding=config.get("pad_to_multiple_of", 64),
            chat_prompt=str(config.get("llm_backbone_id", "")).startswith("vicuna"),
        )


def _read_trunks(config: Mapping[str, Any]) -> tuple[TrunkConfig, ...]:
    described = config.get("vision_trunks")
    if described is None:
        names, sizes = (entry(config, key, list, "config.json") for key in ("timm_model_ids", "image_sizes"))
        unknown = [name for name in names if name not in KNOWN_TRUNKS]
        if unknown:
            raise TeacherError(f"Unknown vision trunks {shortened(unknown)}; known are {sorted(KNOWN_TRUNKS)}.")
        if len(names) != len(sizes):
            raise TeacherError(f"config.json names {len(names)} vision trunks and {len(sizes)} image_sizes.")
        described = [{**KNOWN_TRUNKS[name], "image_size": size} for name, size in zip(names, sizes, strict=True)]
    known = {field.name for field in fields(TrunkConfig)}
    for trunk in described:
        if not set(trunk) <= known:
            raise TeacherError(
                f"Unknown fields of a vision trunk: {shortened(sorted(set(trunk) - known))}; known are {sorted(known)}."
            )
        lacking = [field.name for field in fields(TrunkConfig) if field.default is MISSING and field.name not in trunk]
        if lacking:
            raise TeacherError(f"A vision trunk of config.json lacks {shortened(lacking, limit=len(known))}.")
    trunks = tuple(TrunkConfig(**trunk) for trunk in described)
    fused = config.get("use_fused_vision_backbone", len(trunks) == 2)
    if len(trunks) != (2 if fused else 1) or len({trunk.num_patches for trunk in trunks}) != 1:
        raise TeacherError(
            f"use_fused_vision_backbone={fused} needs {'two trunks' if fused else 'one trunk'} with one number of patches; "
            f"config.json describes {len(trunks)} with {[trunk.num_patches for trunk in trunks]} patches."
        )
    return trunks

"""What a config.json says of the architecture: numbers of the published files, defaults of the release that wrote them."""

from typing import Any

import pytest

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla.config import OPENVLA_7B, OpenVLAConfig, TrunkConfig, entry


def read(**changes: Any) -> OpenVLAConfig:
    return OpenVLAConfig.from_json({**OPENVLA_7B, **changes})


def test_published_file() -> None:
    """DINOv2's ViT-L/14 has 1024 numbers in 24 blocks of 16 heads, SigLIP's So400m/14 has 1152 in 27 of 16."""
    config = read()
    dino, siglip = config.trunks
    assert dino == TrunkConfig(224, 14, 1024, 24, 16, 4096, class_token=True, register_tokens=4, layer_scale=True)
    assert siglip == TrunkConfig(224, 14, 1152, 27, 16, 4304, attention_pool=True)
    assert (dino.num_patches, siglip.num_patches) == (16 * 16, 16 * 16)
    assert (config.action_bins, config.vocab_padding, config.chat_prompt) == (256, 64, False)
    # Llama-2-7b, which the file does not describe, but for what the file says; no precision
    expected = {"hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "intermediate_size": 11008}
    expected |= {"vocab_size": 32064, "pad_token_id": 32000, "rope_theta": 10000.0, "rms_norm_eps": 1e-6}
    assert config.text.items() >= expected.items()
    assert not config.text.keys() & {"torch_dtype", "dtype", "model_type"}


def test_what_exceeds_a_multiple_of_the_patch_size_makes_no_patch() -> None:
    """Of 384 pixels SigLIP sees 27 times 14, which are 378."""
    config = read(
        timm_model_ids=["vit_so400m_patch14_siglip_384"],
        image_sizes=[384],
        use_fused_vision_backbone=False,
        timm_override_act_layers=[None],
    )
    (trunk,) = config.trunks
    assert trunk.num_patches == 27 * 27


def test_what_the_file_does_not_say() -> None:
    """Older files, and those that another release of transformers has written."""
    bare = {name: OPENVLA_7B[name] for name in ("model_type", "architectures", "timm_model_ids", "image_sizes")}
    config = OpenVLAConfig.from_json({**bare, "text_config": {}})
    assert (len(config.trunks), config.action_bins, config.vocab_padding, config.chat_prompt) == (2, 256, 64, False)
    # Without the padding that OpenVLA's own files state
    assert config.first_action_token == 32000 - 64 - 256
    one = OpenVLAConfig.from_json(
        {**bare, "text_config": {}, "timm_model_ids": ["vit_so400m_patch14_siglip_224"], "image_sizes": [224]}
    )
    assert [trunk.embed_dim for trunk in one.trunks] == [1152]


def test_what_the_file_says_goes_before_the_defaults() -> None:
    text = {"model_type": "llama", "hidden_size": 64, "vocab_size": 1064, "rms_norm_eps": 1e-5, "dtype": "float16"}
    config = read(text_config=text, n_action_bins=128, pad_to_multiple_of=8, llm_backbone_id="vicuna-v15-7b")
    assert (config.text["hidden_size"], config.text["rms_norm_eps"]) == (64, 1e-5)
    assert config.first_action_token == 1064 - 8 - 128
    assert config.chat_prompt
    # The published files themselves are not changed
    assert OPENVLA_7B["text_config"]["torch_dtype"] == "bfloat16"


def test_trunks_that_are_described_go_before_those_that_are_named() -> None:
    one = {"image_size": 30, "patch_size": 7, "embed_dim": 8, "depth": 2, "num_heads": 2, "mlp_dim": 16}
    config = read(vision_trunks=[one, {**one, "class_token": True}])
    assert config.trunks == (TrunkConfig(30, 7, 8, 2, 2, 16), TrunkConfig(30, 7, 8, 2, 2, 16, class_token=True))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llava"}, "no OpenVLA checkpoint"),
        ({"text_config": {"model_type": "mistral"}}, "Only Llama"),
        ({"timm_override_act_layers": ["quick_gelu", None]}, "other activations"),
        ({"timm_model_ids": ["vit_large_patch14_clip_336.openai"], "image_sizes": [336]}, "Unknown vision trunks.*clip_336"),
        ({"vision_trunks": [{"depht": 3}]}, r"Unknown fields.*depht"),
        ({"vision_trunks": [{"depth": 3, "embed_dim": 8, "mlp_dim": 9}]}, "lacks 'image_size', 'patch_size', 'num_heads'"),
        ({"timm_model_ids": None}, "needs a list called 'timm_model_ids'"),
        ({"use_fused_vision_backbone": False}, "one trunk.*describes 2"),
        ({"image_sizes": [224]}, "2 vision trunks and 1 image_sizes"),
        ({"image_sizes": [224, 196]}, r"two trunks with one number of patches.* describes 2 with \[256, 196\] patches"),
        ({"vision_trunks": []}, "use_fused_vision_backbone=True needs two trunks.* describes 0"),
        ({"text_config": None}, "config.json needs a dict called 'text_config' and has none: take the published config.json"),
        ({"timm_model_ids": "siglip"}, "needs a list called 'timm_model_ids' and has a str"),
    ],
)
def test_other_architectures_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(TeacherError, match=message):
        OpenVLAConfig.from_json({**OPENVLA_7B, **changes})


@pytest.mark.parametrize(
    ("content", "has"),
    [({}, "none"), ({"sizes": None}, "none"), ({"sizes": 3}, "a int"), ([1, 2], "none"), (None, "none")],
)
def test_what_must_be_there(content: Any, has: str) -> None:
    with pytest.raises(TeacherError, match=f"^The checkpoint's a.json needs a list called 'sizes' and has {has}: take the"):
        entry(content, "sizes", list, "a.json")
    assert entry({"sizes": []}, "sizes", list, "a.json") == []

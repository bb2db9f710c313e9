"""Checkpoints that call themselves OpenVLA and are not to be read as one, as their authors' code writes them."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch as th
from checkpoint_edits import edit_config, edit_first_shard, edit_json, remove_weights

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla import OpenVLATeacher

OWN_CODE = "serve it with its own code, and ask it with OpenVLAServerTeacher"


def refusal(folder: Path) -> str:
    with pytest.raises(TeacherError) as error:
        OpenVLATeacher(folder, device="cpu")._load()
    message = str(error.value).replace(str(folder), "FOLDER")
    assert len(message) < 600
    return message


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("action_head--150000_checkpoint.pt", "OpenVLA-OFT"),
        ("proprio_projector--latest_checkpoint.pt", "OpenVLA-OFT"),
        ("noisy_action_projector--50000_checkpoint.pt", "OpenVLA-OFT"),
        ("vision_backbone--50000_checkpoint.pt", "OpenVLA-OFT"),
        ("action_decoder-30000.pt", "UniVLA"),
    ],
)
def test_files_that_descendants_keep_beside_the_weights(own_tiny: Path, file: str, name: str) -> None:
    (own_tiny / file).write_bytes(b"never read")

    message = refusal(own_tiny)

    assert message.startswith(f"FOLDER is {name}")
    assert file in message
    assert OWN_CODE in message


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("class M:\n    def f(self):\n        return h.reshape(1, NUM_ACTIONS_CHUNK * ACTION_DIM)\n", "OpenVLA-OFT"),
        ("class M:\n    def predict_latent_action(self, input_ids=None, unnorm_key=None):\n        ...\n", "UniVLA"),
        ("class M:\n    def predict_action(self):\n        return actions, generated_ids\n", "embodied chain of thought"),
    ],
)
def test_code_of_descendants_that_keep_nothing_else_there(own_tiny: Path, code: str, name: str) -> None:
    (own_tiny / "modeling_prismatic.py").write_text(code + "raise SystemExit('this must not run')\n")

    message = refusal(own_tiny)

    assert message.startswith(f"FOLDER is {name}")
    assert OWN_CODE in message
    assert "remove that file" in message


def test_words_of_latent_actions(own_tiny: Path) -> None:
    tokenizer = json.loads((own_tiny / "tokenizer.json").read_text())
    words = [{"id": 356 + number, "content": f"<ACT_{number}>", "special": True} for number in range(16)]
    edit_json(own_tiny, "tokenizer.json", added_tokens=[*tokenizer["added_tokens"], *words])

    assert "UniVLA" in refusal(own_tiny)


@pytest.mark.parametrize("changes", [{"architectures": ["OpenVLAOFTForRLActionPrediction"]}, {"num_action_chunks": 8}])
def test_configs_of_descendants(own_tiny: Path, changes: dict) -> None:
    edit_config(own_tiny, **changes)

    message = refusal(own_tiny)

    assert "OpenVLA-OFT" in message
    assert OWN_CODE in message


def test_openvla_trained_with_reinforcement_learning_is_openvla(own_tiny: Path) -> None:
    """It has a class of its own and the decoding of OpenVLA."""
    edit_config(own_tiny, architectures=["OpenVLAForRLActionPrediction"], num_action_chunks=1)

    OpenVLATeacher(own_tiny, device="cpu")._load()


def test_the_format_of_the_training_code(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"data_root_dir": "x", "vla": {"type": "siglip-224px+mx-bridge"}}))

    assert "convert_openvla_weights_to_hf.py" in refusal(tmp_path)


@pytest.mark.parametrize("with_weights", [True, False])
def test_an_adapter(own_tiny: Path, with_weights: bool) -> None:
    (own_tiny / "adapter_config.json").write_text('{"peft_type": "LORA"}')
    (own_tiny / "adapter_model.safetensors").write_bytes(b"never read")
    if not with_weights:
        remove_weights(own_tiny)
        (own_tiny / "config.json").unlink()

    assert "LoRA adapter (adapter_config.json). Merge it into the model with peft (merge_and_unload)" in refusal(own_tiny)


def test_an_adapter_below_a_folder_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "lora_adapter").mkdir()
    (tmp_path / "lora_adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')

    assert "LoRA adapter (lora_adapter/adapter_config.json)" in refusal(tmp_path)


def test_an_adapter_below_a_merged_model_does_no_harm(own_tiny: Path) -> None:
    (own_tiny / "lora_adapter").mkdir()
    (own_tiny / "lora_adapter" / "adapter_config.json").write_text('{"peft_type": "LORA"}')

    OpenVLATeacher(own_tiny, device="cpu")._load()


def test_tensors_of_an_adapter_that_is_not_merged(own_tiny: Path) -> None:
    def wrap(tensors: dict) -> None:
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            at = name.removesuffix(".weight")
            weight = tensors.pop(name)
            tensors[f"{at}.base_layer.weight"] = weight
            tensors[f"{at}.lora_A.default.weight"] = weight[:2].clone()
            tensors[f"{at}.lora_B.default.weight"] = weight[:, :2].clone()

    edit_first_shard(own_tiny, wrap)

    message = refusal(own_tiny)
    assert "tensors of a LoRA adapter that is not merged" in message
    assert "merge_and_unload" in message


@pytest.mark.parametrize(
    ("quantization", "said"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}, "bitsandbytes, load_in_4bit"),
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"load_in_8bit": True}, "quantized, load_in_8bit"),
    ],
)
def test_a_config_of_quantized_weights(own_tiny: Path, quantization: dict, said: str) -> None:
    edit_config(own_tiny, quantization_config=quantization)

    message = refusal(own_tiny)
    assert f"quantization_config in its config.json says {said}" in message
    assert "dequantize()" in message


@pytest.mark.parametrize(
    ("suffixes", "named"),
    [
        ((".absmax", ".quant_map", ".quant_state.bitsandbytes__nf4"), r"weight.absmax"),
        ((".SCB",), ".SCB"),
        ((".weight_scale",), ".weight_scale"),
    ],
)
def test_tensors_of_quantized_weights(own_tiny: Path, suffixes: tuple[str, ...], named: str) -> None:
    def quantize(tensors: dict) -> None:
        for name in [name for name in tensors if name.endswith("_proj.weight")]:
            tensors.update({name + suffix: th.zeros(3) for suffix in suffixes})
            tensors[name] = tensors[name].to(th.int8)

    edit_first_shard(own_tiny, quantize)

    message = refusal(own_tiny)
    assert message.startswith("The weights are quantized (FOLDER has '")
    assert named in message


def test_numbers_of_a_type_that_nothing_is_computed_in(own_tiny: Path) -> None:
    edit_first_shard(own_tiny, lambda tensors: tensors.update({"language_model.model.norm.weight": th.ones(48).to(th.int8)}))

    assert "language_model.model.norm.weight in model-00001-of-00002.safetensors is torch.int8" in refusal(own_tiny)


def test_half_precision_is_no_quantization(own_tiny: Path) -> None:
    path = own_tiny / "model-00001-of-00002.safetensors"
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({name: tensor.half() for name, tensor in tensors.items()}, path)

    OpenVLATeacher(own_tiny, device="cpu")._load()

"""Reading checkpoints: what is read, what is refused, and what the refusal says."""

import json
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch as th

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla import OpenVLATeacher, make_tiny_openvla
from sb3_rpd.teachers.openvla.checkpoint import find_checkpoint, load_model, read_action_statistics, read_json
from sb3_rpd.teachers.openvla.config import OPENVLA_7B, OpenVLAConfig

CPU = th.device("cpu")


def edit_config(folder: Path, **changes: object) -> None:
    (folder / "config.json").write_text(json.dumps({**read_json(folder, "config.json"), **changes}))


def written_tensors(folder: Path) -> dict[str, th.Tensor]:
    tensors: dict[str, th.Tensor] = {}
    for path in folder.glob("*.safetensors"):
        tensors.update(safetensors.torch.load_file(path))
    return tensors


def edit_first_shard(folder: Path, edit: object) -> None:
    """Change the tensors of the first shard and leave the index as it is."""
    path = folder / "model-00001-of-00002.safetensors"
    tensors = safetensors.torch.load_file(path)
    edit(tensors)  # type: ignore[operator]
    safetensors.torch.save_file(tensors, path)


def test_the_same_seed_gives_the_same_checkpoint(tiny: Path, tmp_path: Path) -> None:
    same, other = make_tiny_openvla(tmp_path / "same", seed=0), make_tiny_openvla(tmp_path / "other", seed=1)
    shard = "model-00002-of-00002.safetensors"

    assert (same / shard).read_bytes() == (tiny / shard).read_bytes()
    assert (other / shard).read_bytes() != (tiny / shard).read_bytes()


def test_weights_arrive_as_they_were_written(tiny: Path) -> None:
    model = load_model(tiny, CPU, th.float32)

    written = written_tensors(tiny)
    loaded = model.state_dict()
    assert loaded.keys() == written.keys()
    assert all(th.equal(loaded[name], written[name]) for name in written)
    assert not any(tensor.is_meta for tensor in [*model.parameters(), *model.buffers()])
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


def test_a_single_file_without_an_index(own_tiny: Path) -> None:
    tensors = written_tensors(own_tiny)
    for path in [*own_tiny.glob("*.safetensors"), own_tiny / "model.safetensors.index.json"]:
        path.unlink()
    safetensors.torch.save_file(tensors, own_tiny / "model.safetensors")

    assert load_model(own_tiny, CPU, th.float32).state_dict().keys() == tensors.keys()


def test_missing_and_left_over_tensors_are_listed(own_tiny: Path) -> None:
    def edit(tensors: dict) -> None:
        tensors["projector.fc9.bias"] = tensors.pop("language_model.model.norm.weight")

    edit_first_shard(own_tiny, edit)

    with pytest.raises(TeacherError) as error:
        load_model(own_tiny, CPU, th.float32)
    assert "Missing: ['language_model.model.norm.weight']" in str(error.value)
    assert "Left over: ['projector.fc9.bias']" in str(error.value)


def test_a_tensor_of_another_shape_is_named(own_tiny: Path) -> None:
    def edit(tensors: dict) -> None:
        tensors["language_model.model.norm.weight"] = th.ones(47)

    edit_first_shard(own_tiny, edit)

    with pytest.raises(TeacherError, match=r"language_model\.model\.norm\.weight has the shape \(47,\).*\(48,\)"):
        load_model(own_tiny, CPU, th.float32)


def test_pickles_are_refused(own_tiny: Path) -> None:
    for path in [*own_tiny.glob("*.safetensors"), own_tiny / "model.safetensors.index.json"]:
        path.unlink()
    (own_tiny / "pytorch_model.bin").write_bytes(b"never read")

    with pytest.raises(TeacherError, match=r"pytorch_model\.bin.*run any code.*safetensors\.torch\.save_file"):
        load_model(own_tiny, CPU, th.float32)


def test_a_missing_shard_is_named(own_tiny: Path) -> None:
    (own_tiny / "model-00002-of-00002.safetensors").unlink()

    with pytest.raises(TeacherError, match=r"model-00002-of-00002\.safetensors.*missing"):
        load_model(own_tiny, CPU, th.float32)


def test_code_in_a_checkpoint_is_never_run(own_tiny: Path) -> None:
    edit_config(own_tiny, auto_map={"AutoConfig": "configuration_prismatic.OpenVLAConfig"})
    for name in ("configuration_prismatic", "modeling_prismatic", "processing_prismatic"):
        (own_tiny / f"{name}.py").write_text("raise SystemExit('this must not run')\n")

    OpenVLATeacher(own_tiny, device="cpu")._load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "llava"}, "no OpenVLA checkpoint"),
        ({"text_config": {"model_type": "mistral"}}, "Only Llama"),
        ({"timm_override_act_layers": ["quick_gelu", None]}, "other activations"),
        ({"timm_model_ids": ["vit_large_patch14_clip_336.openai"], "image_sizes": [336]}, "Unknown vision trunks.*clip_336"),
        ({"vision_trunks": [{"depht": 3}]}, r"Unknown fields.*depht"),
        ({"use_fused_vision_backbone": False}, "one trunk.*describes 2"),
    ],
)
def test_other_architectures_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(TeacherError, match=message):
        OpenVLAConfig.from_json({**OPENVLA_7B, **changes})


def test_statistics_of_a_fine_tuning_have_the_last_word(own_tiny: Path) -> None:
    edit_config(
        own_tiny, norm_stats={key: {"action": {"q01": [0], "q99": [1]}} for key in ("maniskill_human:7.0.0", "bridge")}
    )

    assert len(read_action_statistics(own_tiny, "maniskill_human:7.0.0")["q01"]) == 7
    assert read_action_statistics(own_tiny, "bridge") == {"q01": [0], "q99": [1]}


def test_an_unknown_unnorm_key_lists_the_known_ones(tiny: Path) -> None:
    with pytest.raises(TeacherError, match=r"'libero'.*\['bridge_orig', 'maniskill_human:7\.0\.0'\]"):
        OpenVLATeacher(tiny, "libero", device="cpu")._load()


def test_a_repository_is_downloaded_without_pickles_and_code(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def snapshot_download(repo_id: str, **options: object) -> str:
        asked.update(options, repo_id=repo_id)
        return str(tiny)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    assert find_checkpoint("somebody/openvla", revision="v2") == tiny
    assert asked == {"repo_id": "somebody/openvla", "revision": "v2", "allow_patterns": ["*.json", "*.safetensors"]}


def test_a_name_that_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(repo_id: str, **_: object) -> str:
        raise OSError("no such repository")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    with pytest.raises(TeacherError, match=r"no-such/thing is no folder.*no such repository"):
        find_checkpoint("no-such/thing")


def test_an_incomplete_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"config\.json cannot be read"):
        load_model(tmp_path, CPU, th.float32)

"""Reading checkpoints: what is read, what is refused, and what the refusal says."""

import fnmatch
import shutil
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch as th
from checkpoint_edits import edit_config, edit_first_shard, edit_json, remove_weights, written_tensors

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla import OpenVLATeacher
from sb3_rpd.teachers.openvla.checkpoint import find_checkpoint, load_model, read_action_statistics, read_json

CPU = th.device("cpu")


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
    remove_weights(own_tiny)
    safetensors.torch.save_file(tensors, own_tiny / "model.safetensors")

    assert load_model(own_tiny, CPU, th.float32).state_dict().keys() == tensors.keys()


def test_a_single_file_goes_before_an_index(own_tiny: Path) -> None:
    """As in transformers; the index and its shards are those of an older version of the weights."""
    tensors = written_tensors(own_tiny)
    tensors["projector.fc1.bias"] = tensors["projector.fc1.bias"] + 1
    safetensors.torch.save_file(tensors, own_tiny / "model.safetensors")
    (own_tiny / "model-00002-of-00002.safetensors").unlink()

    loaded = load_model(own_tiny, CPU, th.float32).state_dict()

    assert th.equal(loaded["projector.fc1.bias"], tensors["projector.fc1.bias"])


def test_shards_of_two_versions_are_not_mixed(own_tiny: Path) -> None:
    (own_tiny / "model.safetensors.index.json").unlink()
    shutil.copy(own_tiny / "model-00002-of-00002.safetensors", own_tiny / "model-00002-of-00003.safetensors")

    with pytest.raises(TeacherError, match=r"twice, in model-00002-of-00002\.safetensors and in model-00002-of-00003"):
        load_model(own_tiny, CPU, th.float32)


def test_missing_and_surplus_tensors_are_named(own_tiny: Path) -> None:
    def edit(tensors: dict) -> None:
        tensors["projector.fc9.bias"] = tensors.pop("language_model.model.norm.weight")

    edit_first_shard(own_tiny, edit)

    with pytest.raises(TeacherError, match=r"1 of \d+ tensors are missing.*1 are surplus") as error:
        load_model(own_tiny, CPU, th.float32)
    assert "('language_model.model.norm.weight')" in str(error.value)
    assert "('projector.fc9.bias')" in str(error.value)


def test_tensors_of_another_network_are_counted(own_tiny: Path) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in written_tensors(own_tiny).items()}
    remove_weights(own_tiny)
    safetensors.torch.save_file(tensors, own_tiny / "model.safetensors")

    with pytest.raises(TeacherError) as error:
        load_model(own_tiny, CPU, th.float32)
    n = len(tensors)
    assert f"{n} of {n} tensors are missing" in str(error.value)
    assert f"and {n - 3} more), {n} are surplus" in str(error.value)
    assert len(str(error.value)) < 800


def test_a_tensor_of_another_shape_is_named(own_tiny: Path) -> None:
    def edit(tensors: dict) -> None:
        tensors["language_model.model.norm.weight"] = th.ones(47)

    edit_first_shard(own_tiny, edit)

    with pytest.raises(TeacherError, match=r"language_model\.model\.norm\.weight has the shape \(47,\).*\(48,\)"):
        load_model(own_tiny, CPU, th.float32)


def test_pickles_are_refused(own_tiny: Path) -> None:
    remove_weights(own_tiny)
    (own_tiny / "pytorch_model.bin").write_bytes(b"never read")

    with pytest.raises(TeacherError, match=r"pytorch_model\.bin.*run any code.*safetensors\.torch\.save_file"):
        load_model(own_tiny, CPU, th.float32)


@pytest.mark.parametrize(
    ("content", "cure"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 6948961960\n", "git lfs pull"),
        (b"", "Download it again"),
    ],
    ids=["pointer", "cut off"],
)
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model-00002-of-00002.safetensors"])
def test_what_is_not_the_file_itself(own_tiny: Path, name: str, content: bytes, cure: str) -> None:
    (own_tiny / name).write_bytes(content)

    with pytest.raises(TeacherError, match=f"{name} cannot be read.*{cure}"):
        OpenVLATeacher(own_tiny, device="cpu")._load()


@pytest.mark.parametrize("value", [None, "text"])
@pytest.mark.parametrize(
    ("file", "key"),
    [
        ("config.json", "text_config"),
        ("preprocessor_config.json", "tvf_resize_params"),
        ("preprocessor_config.json", "tvf_normalize_params"),
        ("model.safetensors.index.json", "weight_map"),
    ],
)
def test_what_a_file_lacks_is_named(own_tiny: Path, file: str, key: str, value: object) -> None:
    edit_json(own_tiny, file, **{key: value})

    with pytest.raises(TeacherError, match=f"{file} needs a (dict|list) called '{key}' and has (none|a str): take"):
        OpenVLATeacher(own_tiny, device="cpu")._load()


@pytest.mark.parametrize(
    ("part", "key"),
    [
        ("tvf_resize_params", "interpolation"),
        ("tvf_resize_params", "size"),
        ("tvf_normalize_params", "mean"),
        ("tvf_normalize_params", "std"),
    ],
)
def test_what_a_part_of_the_preprocessor_lacks_is_named(own_tiny: Path, part: str, key: str) -> None:
    first, second = read_json(own_tiny, "preprocessor_config.json")[part]
    edit_json(own_tiny, "preprocessor_config.json", **{part: [first, {name: second[name] for name in second if name != key}]})

    with pytest.raises(TeacherError, match=f"preprocessor_config.json needs a (int|list) called '{key}' and has none"):
        OpenVLATeacher(own_tiny, device="cpu")._load()


def test_a_list_in_place_of_a_config(own_tiny: Path) -> None:
    (own_tiny / "config.json").write_text("[]")

    with pytest.raises(TeacherError, match=r"config\.json cannot be read \(it holds a list"):
        OpenVLATeacher(own_tiny, device="cpu")._load()


def test_a_missing_shard_is_named(own_tiny: Path) -> None:
    (own_tiny / "model-00002-of-00002.safetensors").unlink()

    with pytest.raises(TeacherError, match=r"model-00002-of-00002\.safetensors.*missing"):
        load_model(own_tiny, CPU, th.float32)


def test_code_in_a_checkpoint_is_never_run(own_tiny: Path) -> None:
    edit_config(own_tiny, auto_map={"AutoConfig": "configuration_prismatic.OpenVLAConfig"})
    for name in ("configuration_prismatic", "modeling_prismatic", "processing_prismatic"):
        (own_tiny / f"{name}.py").write_text("raise SystemExit('this must not run')\n")

    OpenVLATeacher(own_tiny, device="cpu")._load()


def test_statistics_of_a_fine_tuning_have_the_last_word(own_tiny: Path) -> None:
    edit_config(
        own_tiny, norm_stats={key: {"action": {"q01": [0], "q99": [1]}} for key in ("maniskill_human:7.0.0", "bridge")}
    )

    assert len(read_action_statistics(own_tiny, "maniskill_human:7.0.0")["q01"]) == 7
    assert read_action_statistics(own_tiny, "bridge") == {"q01": [0], "q99": [1]}


def test_an_unknown_unnorm_key_lists_the_known_ones(tiny: Path) -> None:
    with pytest.raises(TeacherError, match=r"'libero'; it knows 'bridge_orig', 'maniskill_human:7\.0\.0'\."):
        OpenVLATeacher(tiny, "libero", device="cpu")._load()


def statistics(**action: object) -> dict:
    return {"own": {"action": {"q01": [-1, -1], "q99": [1, 1], **action}}}


def test_statistics_are_read_without_what_is_null(own_tiny: Path) -> None:
    edit_json(own_tiny, "dataset_statistics.json", **statistics(mask=None, mean=[0, 0]))

    # a mask that is null would be read as one that is False everywhere
    assert read_action_statistics(own_tiny, "own") == {"q01": [-1, -1], "q99": [1, 1]}


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (
            {"own": {"action": {"mean": [0.0], "min": [-1.0]}}},
            r"'own'.* have 'mean', 'min', but not q01 and q99.*np\.quantile",
        ),
        ({"own": {"proprio": {}}}, "have none, but not q01 and q99"),
        ({"own": [1]}, "have none, but not q01 and q99"),
        (statistics(q99=None), "but not q01 and q99"),
        (statistics(q01=["low", 0]), "no list of numbers"),
        (statistics(mask=[True]), r"lengths are {'q01': 2, 'q99': 2, 'mask': 1}"),
        (statistics(q99=[1, 1, 1]), r"lengths are {'q01': 2, 'q99': 3}"),
        (statistics(q01=-1, q99=1), r"lengths are {'q01': 1, 'q99': 1}"),
        (statistics(q01=[-1, 2]), r"dimension 1: 2\.0 and 1\.0"),
        (statistics(q99=[float("nan"), 1]), r"dimension 0: -1\.0 and nan"),
    ],
)
def test_statistics_that_cannot_be_used(own_tiny: Path, written: dict, message: str) -> None:
    edit_json(own_tiny, "dataset_statistics.json", **written)

    with pytest.raises(TeacherError, match=message) as error:
        OpenVLATeacher(own_tiny, "own", device="cpu")._load()
    assert len(str(error.value)) < 500


def test_many_known_keys_are_cut(own_tiny: Path) -> None:
    edit_config(own_tiny, norm_stats={f"data_set_{number:04d}": {} for number in range(2000)})

    with pytest.raises(TeacherError, match=r"'data_set_0029' and 1971 more\.$"):
        read_action_statistics(own_tiny, "libero")


class Hub:
    """Gives out the files of a folder by their names' patterns, as the Hugging Face hub does."""

    def __init__(self, repository: Path, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.repository, self.target = repository, target
        self.asked: list[tuple[str, str | None]] = []
        monkeypatch.setattr(huggingface_hub, "snapshot_download", self.snapshot_download)

    def snapshot_download(self, repo_id: str, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((repo_id, revision))
        self.target.mkdir(exist_ok=True)
        for path in self.repository.iterdir():
            if any(fnmatch.fnmatch(path.name, pattern) for pattern in allow_patterns):
                shutil.copy(path, self.target)
        return str(self.target)


def test_a_repository_is_downloaded_without_pickles(own_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = {path.name for path in own_tiny.iterdir()}
    for name in ("pytorch_model.bin", "training.py", "action.pt"):
        (own_tiny / name).write_text("unwanted")
    hub = Hub(own_tiny, tmp_path / "cache", monkeypatch)

    folder = find_checkpoint("somebody/openvla", revision="v2")

    assert folder == hub.target
    assert {path.name for path in folder.iterdir()} == published
    assert set(hub.asked) == {("somebody/openvla", "v2")}


def test_a_descendant_is_refused_before_its_weights_come(
    own_tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_tiny / "modeling_prismatic.py").write_text("from prismatic.vla.constants import NUM_ACTIONS_CHUNK\n")
    hub = Hub(own_tiny, tmp_path / "cache", monkeypatch)

    with pytest.raises(TeacherError, match="OpenVLA-OFT"):
        find_checkpoint("somebody/openvla-oft")
    assert not list(hub.target.glob("*.safetensors"))


def test_a_name_that_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def snapshot_download(repo_id: str, **_: object) -> str:
        raise OSError("no such repository")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)

    with pytest.raises(TeacherError, match=r"no-such/thing is no folder.*no such repository"):
        find_checkpoint("no-such/thing")


def test_an_incomplete_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TeacherError, match=r"config\.json cannot be read"):
        load_model(tmp_path, CPU, th.float32)

"""The files of a checkpoint that is written: its own, and those of the one that was trained."""

import json
import shutil
from pathlib import Path

import safetensors.torch
import torch as th

from sb3_rpd.finetuning.published import write_checkpoint
from sb3_rpd.teachers.openvla.writing import write_weights

STATISTICS = {"dots": {"action": {"q01": [0.0], "q99": [1.0], "mask": [True]}}}


def test_code_and_tokenizer_come_along_and_what_is_of_the_other_does_not(tiny: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny, tmp_path / "source"))
    for name in ("configuration_prismatic.py", "tokenizer.model", "README.md", "pytorch_model.bin"):
        (source / name).write_text("text")
    (source / "logs").mkdir()

    write_checkpoint(source, tmp_path / "new", {"a": th.zeros(2)}, STATISTICS)

    kept = {path.name for path in tiny.iterdir() if path.suffix != ".safetensors"} - {"model.safetensors.index.json"}
    expected = {*kept, "configuration_prismatic.py", "tokenizer.model", "model.safetensors"}
    assert {path.name for path in (tmp_path / "new").iterdir()} == expected
    assert json.loads((tmp_path / "new/dataset_statistics.json").read_text()) == STATISTICS
    # the statistics of before are still there
    assert set(json.loads((tmp_path / "new/config.json").read_text())["norm_stats"]) == {"bridge_orig", "dots"}


def test_weights_have_the_precision_that_the_configuration_names(tiny: Path, tmp_path: Path) -> None:
    source = Path(shutil.copytree(tiny, tmp_path / "source"))
    config = json.loads((source / "config.json").read_text())
    (source / "config.json").write_text(json.dumps({**config, "torch_dtype": "bfloat16"}))

    write_checkpoint(source, tmp_path / "new", {"a": th.tensor([1.001])}, STATISTICS)

    written = safetensors.torch.load_file(tmp_path / "new/model.safetensors")["a"]
    assert th.equal(written, th.tensor([1.001]).bfloat16())


def test_shards_are_filled_in_turn_and_replace_others(tmp_path: Path) -> None:
    write_weights(tmp_path, {"old": th.zeros(1)})
    tensors = {name: th.full((size,), float(size)) for name, size in (("a", 3), ("b", 4), ("c", 9), ("d", 1))}

    write_weights(tmp_path, tensors, shard_bytes=7 * 4)

    # three and four numbers fit together; nine are too many for any, and stand alone
    files = [f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)]
    assert {path.name for path in tmp_path.iterdir()} == {*files, "model.safetensors.index.json"}
    assert [set(safetensors.torch.load_file(tmp_path / file)) for file in files] == [{"a", "b"}, {"c"}, {"d"}]
    index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
    assert index["metadata"] == {"total_size": 17 * 4}
    assert index["weight_map"] == {"a": files[0], "b": files[0], "c": files[1], "d": files[2]}
    write_weights(tmp_path, tensors)
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]

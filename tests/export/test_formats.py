"""Modules as files: written here, and run by onnxruntime and torch.export themselves; and libraries that are missing."""

import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch as th

from sb3_rpd.common.errors import ExportError
from sb3_rpd.export.formats import check_suffix, load_exported, write_exported


class Affine(th.nn.Module):
    """Its names are not in the order of the alphabet, and its two inputs have their rows on different axes."""

    def forward(self, inputs: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
        z, a = inputs["z"], inputs["a"]
        return {"y": z - 2.0 * a[0].unsqueeze(1), "b": a + 1.0}


def inputs_of(n: int) -> dict[str, np.ndarray]:
    z = np.arange(3 * n, dtype=np.float32).reshape(n, 3)
    return {"z": z, "a": np.arange(2 * n, dtype=np.float32).reshape(2, n)}


AXES = {"z": 0, "a": 1}


def run_onnx(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, inputs), strict=True))


def run_torch(path: Path, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    outputs = th.export.load(path).module()({name: th.from_numpy(array) for name, array in inputs.items()})
    return {name: tensor.numpy() for name, tensor in outputs.items()}


RUNS: dict[str, Callable[[Path, dict[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "module.onnx": run_onnx,
    "module.pt2": run_torch,
}


@pytest.mark.parametrize("name", RUNS)
def test_names_and_the_open_axis_are_the_file_s(name: str, tmp_path: Path) -> None:
    write_exported(Affine(), inputs_of(2), AXES, tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    for n in (1, 2, 5):
        inputs = inputs_of(n)
        expected = {"y": inputs["z"] - 2.0 * np.arange(n)[:, np.newaxis], "b": inputs["a"] + 1.0}
        backwards = dict(reversed(inputs.items()))
        for outputs in (RUNS[name](tmp_path / name, inputs), load_exported(tmp_path / name)(backwards)):
            assert list(outputs) == ["y", "b"]
            for output, array in expected.items():
                assert outputs[output].dtype == np.float32
                np.testing.assert_array_equal(outputs[output], array)


class Branching(th.nn.Module):
    def forward(self, inputs: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
        return {"y": inputs["z"] if inputs["z"].sum() > 0 else -inputs["z"]}


@pytest.mark.parametrize("module", [Affine(), Branching()])
def test_an_exporter_says_nothing_itself(
    module: th.nn.Module, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    logger = logging.getLogger("torch.onnx")
    before, inputs = logger.level, inputs_of(2)
    logger.setLevel(logging.INFO)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if isinstance(module, Branching):
                with pytest.raises(ExportError, match="decides in Python by the values it sees"):
                    write_exported(module, {"z": inputs["z"]}, AXES, tmp_path / "module.onnx")
            else:
                write_exported(module, inputs, AXES, tmp_path / "module.onnx")
        assert logger.level == logging.INFO
    finally:
        logger.setLevel(before)
    assert [record for record in caplog.records if record.name.startswith("torch.onnx")] == []
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("library", ["onnx", "onnxscript"])
def test_a_library_that_is_missing_is_named(library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf'{library} cannot be imported .*pip install "sb3_rpd\[export\]"'):
        write_exported(Affine(), inputs_of(2), AXES, tmp_path / "module.onnx")
    assert not list(tmp_path.iterdir())
    write_exported(Affine(), inputs_of(2), AXES, tmp_path / "module.pt2")
    assert run_torch(tmp_path / "module.pt2", inputs_of(1))["b"].tolist() == [[1.0], [2.0]]


def test_running_an_onnx_file_needs_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match=r'onnxruntime cannot be imported .*pip install "sb3_rpd\[export\]"'):
        load_exported(tmp_path / "module.onnx")


@pytest.mark.parametrize("name", ["student.tflite", "student", "onnx", "student.onnx.zip"])
def test_other_formats_are_refused(name: str, tmp_path: Path) -> None:
    for refuse in (check_suffix, load_exported):
        with pytest.raises(ExportError, match=rf"ends in \.onnx or \.pt2, and {name} does not"):
            refuse(tmp_path / name)

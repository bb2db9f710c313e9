"""The file formats: how a module is written as one, and how such a file is run."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch as th

from sb3_rpd.common.errors import ExportError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.wording import cut

#: Arrays by their names, the inputs or the outputs of an exported student.
Arrays: TypeAlias = Mapping[str, np.ndarray]
#: Runs an exported student.
Run: TypeAlias = Callable[[Arrays], dict[str, np.ndarray]]


class _Format(NamedTuple):
    write: Callable[[th.export.ExportedProgram, list[str], list[str], Path], None]
    load: Callable[[Path], Run]


def write_exported(module: th.nn.Module, inputs: Arrays, batch_axes: Mapping[str, int], path: Path) -> None:
    """
    Write a module as a file in which the size of the batch is open.

    :param module: From a dict of tensors to a dict of tensors.
    :param inputs: Arrays to trace it with, of at least two rows.
    :param batch_axes: Which axis of each input counts the rows.
    :param path: Where to, with the suffix of a format.
    :raises ExportError: if the module is not one that the exporter can follow.
    """
    rows = th.export.Dim("batch", min=1)
    shapes = {name: {batch_axes[name]: rows} for name in inputs}
    tensors = {name: th.as_tensor(array) for name, array in inputs.items()}
    with th.no_grad(), _quiet():
        try:
            program = th.export.export(module, (tensors,), dynamic_shapes=(shapes,))
            _format_of(path).write(program, list(inputs), list(module(tensors)), path)
        except ImportError:
            raise
        except Exception as error:
            raise ExportError(
                f"The student cannot be exported ({type(error).__name__}: {cut(error)}). A policy that decides in Python by "
                "the values it sees has no such form."
            ) from error


def load_exported(path: str | Path) -> Run:
    """
    Load an exported student.

    :param path: What ``export_student`` wrote.
    :return: A function from named arrays to named arrays.
    :raises ExportError: if the suffix is not that of a format.
    """
    return _format_of(Path(path)).load(Path(path))


def check_suffix(path: Path) -> None:
    """
    :param path: Where a student is to be written to.
    :raises ExportError: if the suffix is not that of a format.
    """
    _format_of(path)


def _format_of(path: Path) -> _Format:
    if path.suffix not in _FORMATS:
        raise ExportError(f"A student is exported to a file that ends in {' or '.join(_FORMATS)}, and {path.name} does not.")
    return _FORMATS[path.suffix]


def _write_onnx(program: th.export.ExportedProgram, inputs: list[str], outputs: list[str], path: Path) -> None:
    for library in ("onnx", "onnxscript"):
        import_optional(library, extra="export")
    th.onnx.export(
        program, (), path, input_names=inputs, output_names=outputs, dynamo=True, external_data=False, verbose=False
    )


def _load_onnx(path: Path) -> Run:
    runtime = import_optional("onnxruntime", extra="export")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return lambda inputs: dict(zip(names, session.run(names, dict(inputs)), strict=True))


def _write_torch(program: th.export.ExportedProgram, inputs: list[str], outputs: list[str], path: Path) -> None:
    th.export.save(program, path)


def _load_torch(path: Path) -> Run:
    module = th.export.load(path).module()

    def run(inputs: Arrays) -> dict[str, np.ndarray]:
        with th.no_grad():
            outputs = module({name: th.as_tensor(array) for name, array in inputs.items()})
        return {name: tensor.numpy() for name, tensor in outputs.items()}

    return run


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn of their own inner workings, in their log and by warnings."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logger.setLevel(level)


_FORMATS = {".onnx": _Format(_write_onnx, _load_onnx), ".pt2": _Format(_write_torch, _load_torch)}

"""Reads Parquet files, and says what to install where the library is missing."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.wording import cut
from sb3_rpd.demonstrations.errors import DemonstrationsError
from sb3_rpd.demonstrations.lerobot.layout import TASKS

_EXTRA = "demonstrations"


def import_arrow() -> Any:
    """
    :return: The module ``pyarrow``.
    :raises ImportError: if it is missing; names the extra.
    """
    return import_optional("pyarrow", extra=_EXTRA)


def import_parquet() -> Any:
    """
    :return: The module ``pyarrow.parquet``.
    :raises ImportError: if it is missing; names the extra.
    """
    return import_optional("pyarrow.parquet", extra=_EXTRA)


def read_existing(read: Callable[..., Any], path: Path, **options: Any) -> Any:
    """
    :param read: A function of pyarrow's that takes a path.
    :param path: The path.
    :param options: Further arguments.
    :return: What it returns.
    :raises DemonstrationsError: if there is no such file, or it is not whole.
    """
    try:
        return read(path, **options)
    except FileNotFoundError:
        raise DemonstrationsError(f"A file of the data set is missing: {path}.") from None
    except import_arrow().ArrowInvalid as error:
        raise DemonstrationsError(f"{path} is no whole Parquet file: record or fetch it again ({cut(error)}).") from error


def read_columns(paths: Iterable[Path], names: Sequence[str]) -> dict[str, np.ndarray]:
    """
    :param paths: Parquet files with the same columns; there is at least one.
    :param names: The columns that are wanted: numbers, or lists of them that have one length.
    :return: Arrays of shape (n,), or (n, k), over all files.
    :raises DemonstrationsError: if a file is missing, or not whole.
    """
    tables = [read_existing(import_parquet().read_table, path, columns=list(names)) for path in paths]
    return {name: np.concatenate([_to_array(table[name]) for table in tables]) for name in names}


def _to_array(column: Any) -> np.ndarray:
    whole = column.combine_chunks()
    if not hasattr(whole, "flatten"):
        return np.asarray(whole.to_numpy(zero_copy_only=False))
    return np.asarray(whole.flatten().to_numpy(zero_copy_only=False).reshape(len(whole), -1))


def read_instructions(folder: Path) -> list[str]:
    """
    :param folder: A data set.
    :return: Its instructions, by their numbers: a pandas frame whose index is the text.
    """
    table = read_existing(import_parquet().read_table, folder / TASKS)
    (text,) = [name for name in table.column_names if name != "task_index"]
    texts = dict(zip(table["task_index"].to_pylist(), table[text].to_pylist(), strict=True))
    return [texts[number] for number in range(len(texts))]

"""Columns of Parquet files that pyarrow and pandas have written, as arrays; and files that are not whole."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sb3_rpd.demonstrations import DemonstrationsError
from sb3_rpd.demonstrations.lerobot.parquet import read_columns, read_instructions

LIST_TYPES = {"fixed": lambda kind, width: pa.list_(kind, width), "list": lambda kind, width: pa.list_(kind)}


@st.composite
def files(draw):
    """The rows of one to three files with one column, and the column's type."""
    dtype = draw(st.sampled_from(["float32", "float64", "int64", "bool"]))
    width = draw(st.integers(1, 4))
    lengths = draw(st.lists(st.integers(1, 9), min_size=1, max_size=3))
    kind = LIST_TYPES[draw(st.sampled_from(sorted(LIST_TYPES)))](pa.from_numpy_dtype(np.dtype(dtype)), width)
    return [
        draw(arrays(dtype, (n, width), elements={"allow_nan": False} if "float" in dtype else None)) for n in lengths
    ], kind


@given(files=files(), row_group_size=st.integers(1, 4))
def test_lists_become_rows_of_all_files_in_their_order(files, row_group_size, tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    rows, kind = files
    for number, part in enumerate(rows):
        table = pa.table({"other": list(range(len(part))), "wanted": pa.array(part.tolist(), kind)})
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=row_group_size)
    read = read_columns([folder / f"{number}.parquet" for number in range(len(rows))], ["wanted"])
    assert read.keys() == {"wanted"}
    assert read["wanted"].dtype == rows[0].dtype
    np.testing.assert_array_equal(read["wanted"], np.concatenate(rows))


def test_numbers_become_one_axis(tmp_path):
    pq.write_table(pa.table({"n": [3, 1], "done": [True, False], "x": [0.5, -2.0]}), tmp_path / "0.parquet")
    read = read_columns([tmp_path / "0.parquet"], ["x", "done", "n"])
    assert {name: (array.dtype.name, array.tolist()) for name, array in read.items()} == {
        "x": ("float64", [0.5, -2.0]),
        "done": ("bool", [True, False]),
        "n": ("int64", [3, 1]),
    }


@pytest.mark.parametrize("index", [None, "task"])
def test_instructions_go_by_their_numbers_in_whatever_order_pandas_wrote_them(index, tmp_path):
    (tmp_path / "meta").mkdir()
    frame = pd.DataFrame({"task_index": [2, 0, 1]}, index=pd.Index(["third", "first", "second"], name=index))
    frame.to_parquet(tmp_path / "meta/tasks.parquet")
    assert read_instructions(tmp_path) == ["first", "second", "third"]


@pytest.mark.parametrize(
    "cut",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: b"",
        # what a clone has in its place without Git LFS
        lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
    ],
    ids=["half", "empty", "pointer"],
)
def test_a_file_that_is_not_whole_is_named(cut, tmp_path):
    paths = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    for path in paths:
        pq.write_table(pa.table({"n": list(range(100))}), path)
    paths[1].write_bytes(cut(paths[1].read_bytes()))
    with pytest.raises(DemonstrationsError, match=r"1\.parquet is no whole Parquet file: record or fetch it again") as refusal:
        read_columns(paths, ["n"])
    assert len(str(refusal.value)) < 400
    paths[1].unlink()
    with pytest.raises(DemonstrationsError, match=r"missing: .*1\.parquet"):
        read_columns(paths, ["n"])

"""The table of episodes: its files as pyarrow reads them, and what an interruption leaves."""

import os

import pyarrow.parquet as pq
import pytest

from sb3_rpd.demonstrations.lerobot import episode_table
from sb3_rpd.demonstrations.lerobot.episode_table import EpisodeTable


def row(number, success=None, length=3):
    return {"episode_index": number, "dataset_to_index": length * (number + 1), "tasks": ["go"], "success": success}


def test_each_row_says_in_which_file_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(episode_table, "_EPISODES_PER_FILE", 2)
    monkeypatch.setattr(episode_table, "FILES_PER_CHUNK", 3)
    table = EpisodeTable(tmp_path)
    assert (len(table), table.n_frames) == (0, 0)
    for number in range(9):
        table.append(row(number))
    # two to a file, three files to a chunk
    for number in range(9):
        chunk, file = number // 6, number // 2 % 3
        stored = pq.read_table(tmp_path / f"meta/episodes/chunk-{chunk:03d}/file-{file:03d}.parquet").to_pylist()[number % 2]
        assert stored == row(number) | {"meta/episodes/chunk_index": chunk, "meta/episodes/file_index": file}
    assert len(list(tmp_path.rglob("*.parquet"))) == 5
    again = EpisodeTable(tmp_path)
    assert again.rows == table.rows
    assert (len(again), again.n_frames) == (9, 27)


@pytest.mark.parametrize("successes", [(None, None), (None, True), (False, None), (True, False)])
def test_successes_are_booleans_also_where_nobody_tells_them(successes, tmp_path):
    table = EpisodeTable(tmp_path)
    for number, success in enumerate(successes):
        table.append(row(number, success))
        stored = pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet")
        assert str(stored.schema.field("success").type) == "bool"
    assert stored["success"].to_pylist() == list(successes)


def test_an_episode_that_was_not_written_is_not_there(tmp_path, monkeypatch):
    table = EpisodeTable(tmp_path)
    table.append(row(0))

    def interrupt(source, target):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", interrupt)
        with pytest.raises(KeyboardInterrupt):
            table.append(row(1))
    assert (len(table), table.n_frames) == (1, 3)
    # in its place another one, which is longer
    table.append(row(1, length=5))
    assert table.n_frames == EpisodeTable(tmp_path).n_frames == 10
    assert pq.read_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet")["episode_index"].to_pylist() == [0, 1]

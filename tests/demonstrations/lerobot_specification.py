"""
What the layout of LeRobot v3.0 demands of a folder, from its documentation, with nothing of this package.

``real_lerobot.py`` holds what the library itself writes against it.
"""

import io
import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

INDICES = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
STATISTICS = {"min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"}


def check_lerobot(folder: Path) -> None:
    """Check a whole data set. What is wrong is an AssertionError."""
    info = json.loads((folder / "meta/info.json").read_text())
    features = info["features"]
    check_info(info)
    tasks = read_tasks(folder, info["total_tasks"])
    episodes = read_tables(folder / "meta/episodes").to_pylist()
    frames = read_tables(folder / "data")
    check_columns(frames.schema, features)
    check_episodes(episodes, info, folder)
    check_frames(frames, episodes, info["fps"], tasks)
    for name, feature in features.items():
        if feature["dtype"] == "image":
            check_images(frames[name], feature["shape"])
        if feature["dtype"] == "video":
            for episode in episodes:
                check_video(folder, info, name, episode)
    check_statistics(json.loads((folder / "meta/stats.json").read_text()), features, frames)


def check_info(info: dict[str, Any]) -> None:
    assert info["codebase_version"] == "v3.0"
    assert info["data_path"] == "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    videos = [name for name, feature in info["features"].items() if feature["dtype"] == "video"]
    if videos:
        assert info["video_path"] == "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
    else:
        assert info["video_path"] is None
    assert info["splits"] == {"train": f"0:{info['total_episodes']}"}
    assert info["fps"] > 0
    assert {"robot_type", "chunks_size", "data_files_size_in_mb", "video_files_size_in_mb"} <= info.keys()
    for name, dtype in INDICES.items():
        assert info["features"][name]["dtype"] == dtype
        assert info["features"][name]["shape"] == [1]
    for name, feature in info["features"].items():
        assert "/" not in name
        assert set(feature) >= {"dtype", "shape", "names"}
        if feature["dtype"] in ("image", "video"):
            assert feature["names"] == ["height", "width", "channels"]
            assert len(feature["shape"]) == 3


def read_tables(folder: Path) -> pa.Table:
    """All files, as the library finds them: whatever has the suffix."""
    return pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("*/*.parquet")))


def read_tasks(folder: Path, total: int) -> list[str]:
    """pandas makes the texts the index of a frame with one column."""
    table = pq.read_table(folder / "meta/tasks.parquet")
    described = json.loads(table.schema.metadata[b"pandas"])
    (index,) = described["index_columns"]
    assert set(table.column_names) == {index, "task_index"}
    assert table["task_index"].to_pylist() == list(range(total))
    texts = table[index].to_pylist()
    assert len(set(texts)) == len(texts)
    return texts


def check_columns(schema: pa.Schema, features: dict[str, Any]) -> None:
    stored = {name: feature for name, feature in features.items() if feature["dtype"] != "video"}
    assert set(schema.names) == set(stored)
    described = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    for name, feature in stored.items():
        kind = schema.field(name).type
        if feature["dtype"] == "image":
            assert described[name]["_type"] == "Image"
            assert {field.name: str(field.type) for field in kind} == {"bytes": "binary", "path": "string"}
            continue
        (length,) = feature["shape"]
        if length > 1:
            assert described[name]["length"] == length
            assert pa.types.is_list(kind) or kind.list_size == length
            kind = kind.value_type
        # a list of one number is stored as the number, or as the list
        kind = getattr(kind, "value_type", kind)
        assert str(kind) == {"float32": "float"}.get(feature["dtype"], feature["dtype"])


def check_episodes(episodes: list[dict[str, Any]], info: dict[str, Any], folder: Path) -> None:
    assert [episode["episode_index"] for episode in episodes] == list(range(info["total_episodes"]))
    start = 0
    for episode in episodes:
        assert episode["dataset_from_index"] == start
        start += episode["length"]
        assert episode["dataset_to_index"] == start
        assert episode["length"] > 0
        place = {field: episode[f"data/{field}"] for field in ("chunk_index", "file_index")}
        assert max(place.values()) < info["chunks_size"]
        rows = pq.read_table(folder / info["data_path"].format(**place), columns=["index"])["index"].to_pylist()
        assert {episode["dataset_from_index"], episode["dataset_to_index"] - 1} <= set(rows)
    assert start == info["total_frames"]


def check_frames(frames: pa.Table, episodes: list[dict[str, Any]], fps: int, tasks: list[str]) -> None:
    columns = {name: np.ravel(frames[name].to_pylist()) for name in INDICES}
    np.testing.assert_array_equal(columns["index"], np.arange(len(frames)))
    for episode in episodes:
        rows = slice(episode["dataset_from_index"], episode["dataset_to_index"])
        assert set(columns["episode_index"][rows]) == {episode["episode_index"]}
        np.testing.assert_array_equal(columns["frame_index"][rows], np.arange(episode["length"]))
        assert {tasks[task] for task in columns["task_index"][rows]} == set(episode["tasks"])
    # the library's tolerance
    np.testing.assert_allclose(columns["timestamp"], columns["frame_index"] / fps, atol=1e-4)


def check_images(cells: pa.ChunkedArray, shape: list[int]) -> None:
    for cell in cells.to_pylist():
        image = Image.open(io.BytesIO(cell["bytes"]))
        assert (image.height, image.width, len(image.getbands())) == tuple(shape)


def check_video(folder: Path, info: dict[str, Any], name: str, episode: dict[str, Any]) -> None:
    place = {field: episode[f"videos/{name}/{field}"] for field in ("chunk_index", "file_index")}
    start, stop = (episode[f"videos/{name}/{field}"] for field in ("from_timestamp", "to_timestamp"))
    np.testing.assert_allclose(stop - start, episode["length"] / info["fps"])
    described = info["features"][name]["info"]
    with av.open(str(folder / info["video_path"].format(video_key=name, **place))) as container:
        stream = container.streams.video[0]
        assert [stream.height, stream.width, 3] == info["features"][name]["shape"]
        assert (stream.codec_context.name, stream.pix_fmt) == (described["video.codec"], described["video.pix_fmt"])
        assert stream.average_rate == info["fps"] == described["video.fps"]
        shown = np.array([frame.time for frame in container.decode(stream)])
    wanted = start + np.arange(episode["length"]) / info["fps"]
    assert np.abs(shown[:, np.newaxis] - wanted).min(axis=0).max() < 1e-4


def check_statistics(statistics: dict[str, Any], features: dict[str, Any], frames: pa.Table) -> None:
    for name, feature in features.items():
        found = {kind: np.array(value) for kind, value in statistics[name].items()}
        assert set(found) == STATISTICS
        assert found["count"].shape == (1,)
        is_image = feature["dtype"] in ("image", "video")
        for kind in STATISTICS - {"count"}:
            assert found[kind].shape == ((3, 1, 1) if is_image else tuple(feature["shape"])), (name, kind)
        assert (found["min"] <= found["q01"] + 1e-9).all()
        assert (found["q01"] <= found["q99"]).all()
        assert (found["q99"] <= found["max"] + 1e-9).all()
        if is_image:
            assert found["min"].min() >= 0
            assert found["max"].max() <= 1
        else:
            values = np.array(frames[name].to_pylist(), dtype=np.float64).reshape(len(frames), -1)
            assert found["count"] == len(frames)
            np.testing.assert_allclose(found["mean"], values.mean(axis=0), atol=1e-6)
            np.testing.assert_allclose(found["std"], values.std(axis=0), atol=1e-5)
            np.testing.assert_allclose([found["min"], found["max"]], [values.min(axis=0), values.max(axis=0)], atol=1e-6)

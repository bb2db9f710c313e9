"""Data sets that others have written, with several episodes in a file, which recordings from here do not have."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sb3_rpd.demonstrations import DemonstrationsError
from sb3_rpd.demonstrations.lerobot.reading import LeRobotFiles

FPS = 10
#: The lengths of the episodes in each file.
FILES = ((2, 3), (4,))
TOP, SIDE = "observation.images.top", "observation.images.side"
FEATURES = {
    TOP: {"dtype": "image", "shape": [8, 8, 3]},
    SIDE: {"dtype": "video", "shape": [16, 16, 3]},
    "observation.state": {"dtype": "float32", "shape": [2]},
    "action": {"dtype": "float32", "shape": [1]},
}


def png(level):
    memory = io.BytesIO()
    # one channel, as a camera may have that knows no color
    Image.fromarray(np.full((8, 8), level, np.uint8)).save(memory, "PNG")
    return memory.getvalue()


def write_video(path, images):
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = *images.shape[1:3], "yuv420p"
        for image in images:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def write_table(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=2)


def frames(first, lengths, episode):
    """Frame i has action i, state (i, -i), task e % 2, and the gray 20 i in both images."""
    index = np.arange(first, first + sum(lengths))
    episodes = np.repeat(np.arange(episode, episode + len(lengths)), lengths)
    return {
        TOP: [{"bytes": png(20 * i), "path": None} for i in index],
        "observation.state": [[float(i), float(-i)] for i in index],
        "action": index.astype(np.float32),
        "timestamp": np.concatenate([np.arange(length) / FPS for length in lengths]).astype(np.float32),
        "index": index,
        "episode_index": episodes,
        "task_index": episodes % 2,
    }


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "meta").mkdir()
    info = {"codebase_version": "v3.0", "fps": FPS, "features": FEATURES}
    (tmp_path / "meta/info.json").write_text(json.dumps(info))
    pd.DataFrame({"task_index": [1, 0]}, index=["odd", "even"]).to_parquet(tmp_path / "meta/tasks.parquet")
    rows, first = [], 0
    for file, lengths in enumerate(FILES):
        write_table(tmp_path / f"data/chunk-000/file-{file:03d}.parquet", frames(first, lengths, len(rows)))
        levels = 20 * np.arange(first, first + sum(lengths), dtype=np.uint8)
        images = np.tile(levels[:, np.newaxis, np.newaxis, np.newaxis], (1, 16, 16, 3))
        write_video(tmp_path / f"videos/{SIDE}/chunk-000/file-{file:03d}.mp4", images)
        start = 0.0
        for length in lengths:
            place = {
                f"{kind}/{field}": value
                for kind in ("data", f"videos/{SIDE}")
                for field, value in (("chunk_index", 0), ("file_index", file))
            }
            span = {"dataset_from_index": first, "dataset_to_index": first + length, f"videos/{SIDE}/from_timestamp": start}
            rows.append({"episode_index": len(rows), **place, **span})
            first, start = first + length, start + length / FPS
    write_table(tmp_path / "meta/episodes/chunk-000/file-000.parquet", pd.DataFrame(rows).to_dict("list"))
    return tmp_path


def test_each_frame_is_found_in_the_file_of_its_episode(folder):
    files = LeRobotFiles(folder)
    assert (files.n_frames, files.fps, files.cameras) == (9, FPS, ("top", "side"))
    np.testing.assert_array_equal(files.actions, np.arange(9)[:, np.newaxis])
    np.testing.assert_array_equal(files.states, np.arange(9)[:, np.newaxis] * [1, -1])
    assert files.episodes.tolist() == [0, 0, 1, 1, 1, 2, 2, 2, 2]
    assert files.instructions == ["even"] * 2 + ["odd"] * 3 + ["even"] * 4
    for index in (8, 0, 4, 2, 5, 7, 1, 3, 6):
        np.testing.assert_array_equal(files.image(index, TOP), np.full((8, 8, 3), 20 * index))
        np.testing.assert_allclose(files.image(index, SIDE), np.full((16, 16, 3), 20 * index), atol=6)


def test_rows_of_an_episode_that_is_not_finished_are_not_looked_at(folder):
    # two more than the table of episodes knows
    write_table(folder / "data/chunk-000/file-001.parquet", frames(5, (4, 2), 2))
    files = LeRobotFiles(folder)
    assert files.n_frames == len(files.instructions) == 9
    np.testing.assert_array_equal(files.actions[-1], [8])
    np.testing.assert_array_equal(files.states[-1], [8, -8])
    assert files.episodes[-1] == 2


def test_there_may_be_no_state_and_no_camera(folder):
    info = json.loads((folder / "meta/info.json").read_text())
    info["features"] = {"action": FEATURES["action"]}
    (folder / "meta/info.json").write_text(json.dumps(info))
    files = LeRobotFiles(folder)
    assert (files.states, files.cameras) == (None, ())
    assert len(files.actions) == 9


def test_what_cannot_be_learned_from_is_refused(folder):
    info = json.loads((folder / "meta/info.json").read_text())
    del info["features"]["action"]
    (folder / "meta/info.json").write_text(json.dumps(info))
    with pytest.raises(DemonstrationsError, match="has no column 'action', so that there is nothing in it to learn from"):
        LeRobotFiles(folder)


def test_a_recording_without_an_episode_is_none_yet(folder):
    (folder / "meta/episodes/chunk-000/file-000.parquet").unlink()
    with pytest.raises(DemonstrationsError, match="has no episodes yet: its recording has not finished one"):
        LeRobotFiles(folder)


#: A process and others that it forks read the same video in turn, and print the mean of each image.
FORKING = f"""
import os, sys
from pathlib import Path
from sb3_rpd.demonstrations.lerobot.reading import LeRobotFiles

files = LeRobotFiles(Path(sys.argv[1]))

def show(*indices):
    print(*(round(float(files.image(index, {SIDE!r}).mean())) for index in indices), flush=True)

def show_in_a_fork(*indices):
    child = os.fork()
    if child == 0:
        try:
            show(*indices)
        finally:
            os._exit(0)
    os.waitpid(child, 0)

show(0)
show_in_a_fork(4, 1)
show(3)
show_in_a_fork(2)
show(1, 4)
"""


def test_forked_processes_leave_each_other_s_place_in_a_video(folder):
    # more than FFmpeg reads ahead
    noise = np.random.default_rng(0).integers(-20, 21, (5, 256, 256, 3))
    levels = np.array([40, 80, 120, 160, 200])[:, np.newaxis, np.newaxis, np.newaxis]
    write_video(folder / f"videos/{SIDE}/chunk-000/file-000.mp4", (levels + noise).astype(np.uint8))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run(
        [sys.executable, "-c", FORKING, str(folder)], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    printed = [[int(mean) for mean in line.split()] for line in ended.stdout.splitlines()]
    expected = [[40], [200, 80], [160], [120], [80, 200]]
    for seen, painted in zip(printed, expected, strict=True):
        np.testing.assert_allclose(seen, painted, atol=3)

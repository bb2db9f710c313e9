"""The tables and images of a LeRobot v3.0 data set, by frame."""

import io
import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.demonstrations.errors import DemonstrationsError
from sb3_rpd.demonstrations.lerobot.layout import (
    ACTION,
    DATA,
    EPISODES,
    IMAGES,
    STATE,
    VIDEOS,
    read_info,
)
from sb3_rpd.demonstrations.lerobot.parquet import import_parquet, read_columns, read_existing, read_instructions
from sb3_rpd.demonstrations.lerobot.videos import VideoReader

#: How many files are kept open.
_OPEN_FILES = 128

_EPISODE_COLUMNS = ("episode_index", "dataset_from_index", "dataset_to_index", "data/chunk_index", "data/file_index")


class LeRobotFiles:
    """
    The columns of all frames in memory, and their images on demand. What lies in the files beyond the last finished episode is
    not looked at.

    :param folder: The data set.
    :raises DemonstrationsError: if it is none, if it has no actions, or if a file of it is missing or not whole.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        info = read_info(folder)
        if ACTION not in info["features"]:
            raise DemonstrationsError(f"{folder} has no column {ACTION!r}, so that there is nothing in it to learn from.")
        self.fps = int(info["fps"])
        #: The names of the cameras.
        self.cameras = tuple(name.removeprefix(IMAGES) for name in info["features"] if name.startswith(IMAGES))
        self._are_videos = {name for name, feature in info["features"].items() if feature["dtype"] == "video"}
        self._episodes = _Episodes(folder, [IMAGES + camera for camera in self.cameras if IMAGES + camera in self._are_videos])
        names = [ACTION, *([STATE] if STATE in info["features"] else []), "index", "episode_index", "task_index", "timestamp"]
        columns = read_columns(self._episodes.tables, names)
        # a killed recording may have left a file of an episode that it did not finish; its rows are the last
        columns = {name: array[: self._episodes.n_frames] for name, array in columns.items()}
        #: How many frames there are.
        self.n_frames = len(columns["index"])
        self.actions: np.ndarray = columns[ACTION].reshape(self.n_frames, -1)
        self.states: np.ndarray | None = columns[STATE].reshape(self.n_frames, -1) if STATE in columns else None
        self.episodes: np.ndarray = columns["episode_index"]
        self._timestamps = columns["timestamp"]
        texts = read_instructions(folder)
        self.instructions = [texts[task] for task in columns["task_index"].tolist()]
        self._open_caches()

    def _open_caches(self) -> None:
        self._process = os.getpid()
        self._open_table = lru_cache(_OPEN_FILES)(_Images)
        self._open_video = lru_cache(_OPEN_FILES)(VideoReader)

    def __getstate__(self) -> dict[str, Any]:
        # open files do not travel
        return {name: value for name, value in vars(self).items() if name not in ("_open_table", "_open_video")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._open_caches()

    def image(self, index: int, key: str) -> np.ndarray:
        """
        :param index: The frame, as counted through the whole data set.
        :param key: The images' column: "observation.images.NAME".
        :return: uint8 of shape (height, width, 3).
        """
        if os.getpid() != self._process:
            # forked processes share the position in a file that was open
            self._open_caches()
        episode = int(self.episodes[index])
        if key not in self._are_videos:
            path, first = self._episodes.table_of(episode)
            return self._open_table(path, key).read(index - first)
        path, start = self._episodes.video_of(episode, key)
        return self._open_video(path).read(start + float(self._timestamps[index]))


class _Episodes:
    """Which file and which rows of it each episode has."""

    def __init__(self, folder: Path, video_keys: Sequence[str]) -> None:
        names = list(_EPISODE_COLUMNS)
        for key in video_keys:
            names += [f"videos/{key}/{field}" for field in ("chunk_index", "file_index", "from_timestamp")]
        paths = sorted(folder.glob(EPISODES.split("{", maxsplit=1)[0] + "*/*.parquet"))
        if not paths:
            raise DemonstrationsError(f"{folder} has no episodes yet: its recording has not finished one.")
        self._columns = read_columns(paths, names)
        self._folder = folder
        files = zip(self._columns["data/chunk_index"].tolist(), self._columns["data/file_index"].tolist(), strict=True)
        self._firsts: dict[tuple[int, int], int] = {}
        for file, first in zip(files, self._columns["dataset_from_index"].tolist(), strict=True):
            self._firsts.setdefault(file, first)
        self.n_frames = int(self._columns["dataset_to_index"][-1])

    @property
    def tables(self) -> list[Path]:
        """The files with the frames, in order."""
        return [self._folder / DATA.format(chunk_index=chunk, file_index=file) for chunk, file in self._firsts]

    def table_of(self, episode: int) -> tuple[Path, int]:
        """:return: The file with an episode's frames, and which frame of the data set is its first row."""
        file = int(self._columns["data/chunk_index"][episode]), int(self._columns["data/file_index"][episode])
        return self._folder / DATA.format(chunk_index=file[0], file_index=file[1]), self._firsts[file]

    def video_of(self, episode: int, key: str) -> tuple[Path, float]:
        """:return: The file with an episode's video, and when in it the episode starts, in seconds."""
        chunk, file, start = (
            self._columns[f"videos/{key}/{field}"][episode] for field in ("chunk_index", "file_index", "from_timestamp")
        )
        return self._folder / VIDEOS.format(video_key=key, chunk_index=int(chunk), file_index=int(file)), float(start)


class _Images:
    """
    The encoded images of one file.

    :param path: The file.
    :param key: The images' column.
    """

    def __init__(self, path: Path, key: str) -> None:
        self._file = read_existing(import_parquet().ParquetFile, path, memory_map=True)
        self._column = f"{key}.bytes"
        sizes = [self._file.metadata.row_group(group).num_rows for group in range(self._file.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])

    def read(self, row: int) -> np.ndarray:
        """:return: The image of a row, uint8 of shape (height, width, 3)."""
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        cells = self._file.read_row_group(group, columns=[self._column]).column(0)
        encoded = cells[row - int(self._starts[group])].as_py()["bytes"]
        pillow = import_optional("PIL.Image", extra="demonstrations")
        return np.asarray(pillow.open(io.BytesIO(encoded)).convert("RGB"))

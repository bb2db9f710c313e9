"""Writes a LeRobot v3.0 data set, one whole episode after the other."""

from pathlib import Path
from typing import Any

import numpy as np

from sb3_rpd.demonstrations.episodes import Episode
from sb3_rpd.demonstrations.errors import DemonstrationsError
from sb3_rpd.demonstrations.files import write_json, write_whole
from sb3_rpd.demonstrations.lerobot.episode_table import EpisodeTable
from sb3_rpd.demonstrations.lerobot.layout import (
    CODEBASE_VERSION,
    DATA,
    FILES_PER_CHUNK,
    IMAGES,
    INFO,
    STATS,
    TASKS,
    VIDEOS,
    read_info,
)
from sb3_rpd.demonstrations.lerobot.parquet import import_parquet, read_columns, read_instructions
from sb3_rpd.demonstrations.lerobot.tables import (
    Features,
    columns_of,
    describe_features,
    frames_table,
    index_columns,
    tasks_table,
)
from sb3_rpd.demonstrations.lerobot.videos import import_av, write_video
from sb3_rpd.demonstrations.recordings import RecordingList, Settings
from sb3_rpd.demonstrations.statistics import Statistics, describe_images, describe_vectors, merge

_RECORDINGS = "meta/recordings.json"

# Readers decode a few images to get at one
_ROWS_PER_GROUP = 8


class LeRobotWriter:
    """
    A folder in the layout of LeRobot v3.0, with a file, and as many videos as there are cameras, for each episode.

    An episode is there as soon as the table of episodes has it, which is written last. What else a killed process has left is
    written over.

    :param folder: The folder; what is there is gone on with.
    :param fps: Frames a second.
    :param robot: The name of the robot or the environment.
    :param video: Whether images become videos, which are small and not exact, in place of PNGs.
    :raises DemonstrationsError: if the folder holds something else.
    """

    def __init__(self, folder: Path, *, fps: int, robot: str, video: bool) -> None:
        import_parquet()
        if video:
            import_av()
        self._folder, self._fps, self._robot, self._video = folder, fps, robot, video
        self._recordings = RecordingList(folder, _RECORDINGS)
        self._instructions = read_instructions(folder) if (folder / TASKS).exists() else []
        self._episodes = EpisodeTable(folder)
        self._features: Features = {}
        if self._episodes.rows:
            info = read_info(folder)
            self._features = info["features"]
            if info["fps"] != fps:
                raise DemonstrationsError(f"{folder} has {info['fps']} frames a second, not {fps}: take another folder.")
            if self._images_are() not in (None, "video" if video else "image"):
                raise DemonstrationsError(
                    f"{folder} stores what cameras see as {self._images_are()}s: record that, or take another folder."
                )

    def begin(self, settings: Settings) -> int:
        return self._recordings.begin(settings)

    def origins(self, recording: int) -> list[dict[str, Any]]:
        names = {"attempt": "attempt", "success": "success", "frames": "length"}
        own = [row for row in self._episodes.rows if row["recording"] == recording]
        return [{name: row[column] for name, column in names.items()} for row in own]

    def add(self, episode: Episode) -> None:
        number, first = len(self._episodes), self._episodes.n_frames
        columns = columns_of(episode)
        known = [*self._instructions, episode.instruction]
        task = known.index(episode.instruction)
        columns.update(index_columns(len(episode), self._fps, episode=number, first=first, task=task))
        self._check_features(describe_features(columns, self._fps, self._video))
        if task == len(self._instructions):
            write_whole(self._folder / TASKS, lambda path: import_parquet().write_table(tasks_table(known), path))
            self._instructions = known
        place = {"chunk_index": number // FILES_PER_CHUNK, "file_index": number % FILES_PER_CHUNK}
        self._write_frames(columns, place)
        row = {
            "episode_index": number,
            "tasks": [episode.instruction],
            "length": len(episode),
            "dataset_from_index": first,
            "dataset_to_index": first + len(episode),
            **{f"data/{name}": value for name, value in place.items()},
            **self._write_videos(episode, place),
            **episode.origin,
        }
        for name, array in columns.items():
            described = describe_images(array) if name.startswith(IMAGES) else describe_vectors(array)
            row.update({f"stats/{name}/{kind}": value.tolist() for kind, value in described.items()})
        self._episodes.append(row)
        self._write_info()

    def finish(self) -> None:
        if not self._episodes.rows:
            return
        self._write_info()
        rows = self._episodes.rows
        vectors = [name for name in self._features if not name.startswith(IMAGES)]
        tables = [
            self._folder / DATA.format(chunk_index=row["data/chunk_index"], file_index=row["data/file_index"]) for row in rows
        ]
        statistics = {
            name: describe_vectors(array.reshape(len(array), -1)) for name, array in read_columns(tables, vectors).items()
        }
        for name in self._features:
            if name.startswith(IMAGES):
                statistics[name] = merge([_statistics_in(row, name) for row in rows])
        content = {name: {kind: value.tolist() for kind, value in found.items()} for name, found in statistics.items()}
        write_json(self._folder / STATS, content)

    def _images_are(self) -> str | None:
        """What images are stored as: "image" or "video"; None where there are none."""
        return next((feature["dtype"] for name, feature in self._features.items() if name.startswith(IMAGES)), None)

    def _check_features(self, features: Features) -> None:
        if not self._features:
            self._features = features
            self._write_info()
        names = sorted({*self._features, *features})
        differing = [name for name in names if self._features.get(name) != features.get(name)]
        if differing:
            name = differing[0]
            there, here = (_in_words(those.get(name)) for those in (self._features, features))
            raise DemonstrationsError(
                f"What is recorded does not fit what {self._folder} holds: {name!r} is {there} there and {here} here. Take "
                "another folder."
            )

    def _write_videos(self, episode: Episode, place: dict[str, int]) -> dict[str, Any]:
        """Write an episode's videos and say, in the words of its row, where they are."""
        row: dict[str, Any] = {}
        if not self._video:
            return row
        for name, images in episode.images.items():
            key = IMAGES + name
            target = self._folder / VIDEOS.format(video_key=key, **place)
            write_whole(target, lambda path, images=images: write_video(path, images, self._fps))  # type: ignore[misc]
            span = {"from_timestamp": 0.0, "to_timestamp": len(episode) / self._fps}
            row.update({f"videos/{key}/{field}": value for field, value in {**place, **span}.items()})
        return row

    def _write_frames(self, columns: dict[str, np.ndarray], place: dict[str, int]) -> None:
        table = frames_table(columns, self._features)
        options = {"row_group_size": _ROWS_PER_GROUP, "use_dictionary": False}
        target = self._folder / DATA.format(**place)
        write_whole(target, lambda path: import_parquet().write_table(table, path, **options))

    def _write_info(self) -> None:
        info = {
            "codebase_version": CODEBASE_VERSION,
            "robot_type": self._robot,
            "total_episodes": len(self._episodes),
            "total_frames": self._episodes.n_frames,
            "total_tasks": len(self._instructions),
            "chunks_size": FILES_PER_CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self._fps,
            "splits": {"train": f"0:{len(self._episodes)}"},
            "data_path": DATA,
            "video_path": VIDEOS if self._images_are() == "video" else None,
            "features": self._features,
        }
        write_json(self._folder / INFO, info)


def _statistics_in(row: dict[str, Any], column: str) -> Statistics:
    """The statistics of one column in an episode's row."""
    prefix = f"stats/{column}/"
    return {name.removeprefix(prefix): np.array(value) for name, value in row.items() if name.startswith(prefix)}


def _in_words(feature: dict[str, Any] | None) -> str:
    return "missing" if feature is None else f"{feature['dtype']} of shape {tuple(feature['shape'])}"

"""Where things are in a LeRobot v3.0 data set, and what its columns are called."""

import json
from pathlib import Path
from typing import Any

from sb3_rpd.demonstrations.errors import DemonstrationsError

#: What ``info.json`` says of the layout.
CODEBASE_VERSION = "v3.0"

INFO = "meta/info.json"
STATS = "meta/stats.json"
TASKS = "meta/tasks.parquet"
DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEOS = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
FILES_PER_CHUNK = 1000

ACTION = "action"
STATE = "observation.state"
IMAGES = "observation.images."


def read_info(folder: Path) -> dict[str, Any]:
    """
    :param folder: A data set.
    :return: What its ``info.json`` says.
    :raises DemonstrationsError: if there is none, or if it is of another layout.
    """
    path = folder / INFO
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise DemonstrationsError(f"{folder} holds no demonstrations: there is no {INFO} in it.") from None
    except ValueError as error:
        raise DemonstrationsError(f"{path} is no JSON ({error}).") from None
    version = info.get("codebase_version") if isinstance(info, dict) else None
    if version != CODEBASE_VERSION:
        raise DemonstrationsError(
            f"{folder} has LeRobot's layout {version!r}, not {CODEBASE_VERSION}: convert it with LeRobot's own tools."
        )
    return dict(info)

"""The columns of a LeRobot v3.0 data set, and the Arrow tables that hold them."""

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.demonstrations.episodes import Episode
from sb3_rpd.demonstrations.lerobot.layout import ACTION, IMAGES, STATE
from sb3_rpd.demonstrations.lerobot.parquet import import_arrow
from sb3_rpd.demonstrations.lerobot.videos import CODEC, PIXELS
from sb3_rpd.demonstrations.observing import VECTOR

#: Columns that every data set has, beside those that describe what was recorded.
INDEX_COLUMNS = ("timestamp", "frame_index", "episode_index", "index", "task_index")

Features = dict[str, dict[str, Any]]


def columns_of(episode: Episode) -> dict[str, np.ndarray]:
    """:return: What is recorded of each step of an episode, by the names of its columns: arrays with first axis n."""
    vectors = {STATE if name == VECTOR else f"observation.{name}": array for name, array in episode.vectors.items()}
    return {
        **{IMAGES + name: array for name, array in episode.images.items()},
        **vectors,
        ACTION: episode.actions,
        # a name that begins with "action" would make it a second action for LeRobot's policies
        "executed_action": episode.executed_actions,
        "next.reward": episode.rewards[:, np.newaxis],
        "next.done": episode.dones[:, np.newaxis],
        "next.success": episode.successes[:, np.newaxis],
        "step": episode.steps[:, np.newaxis],
    }


def index_columns(n_frames: int, fps: int, *, episode: int, first: int, task: int) -> dict[str, np.ndarray]:
    """
    :param n_frames: Length of an episode.
    :param fps: Frames a second.
    :param episode: Its number.
    :param first: How many frames are before it.
    :param task: The number of its instruction.
    :return: ``INDEX_COLUMNS``, each of shape (n, 1).
    """
    frames = np.arange(n_frames, dtype=np.int64)
    columns: dict[str, np.ndarray] = {
        "timestamp": (frames / fps).astype(np.float32),
        "frame_index": frames,
        "episode_index": np.full(n_frames, episode),
        "index": first + frames,
        "task_index": np.full(n_frames, task),
    }
    return {name: array[:, np.newaxis] for name, array in columns.items()}


def describe_features(columns: Mapping[str, np.ndarray], fps: int, video: bool) -> Features:
    """
    :param columns: All columns of an episode.
    :param fps: Frames a second.
    :param video: Whether images are stored as videos.
    :return: ``features`` of ``info.json``.
    """
    features: Features = {}
    for name, array in columns.items():
        if name.startswith(IMAGES):
            names, kind = ["height", "width", "channels"], "video" if video else "image"
        else:
            names, kind = [f"{name.rpartition('.')[2]}_{i}" for i in range(array.shape[1])], str(array.dtype)
        features[name] = {"dtype": kind, "shape": list(array.shape[1:]), "names": names}
        if kind == "video":
            features[name]["info"] = _describe_video(array, fps)
    return features


def _describe_video(images: np.ndarray, fps: int) -> dict[str, Any]:
    _, height, width, channels = images.shape
    return {
        "video.height": height,
        "video.width": width,
        "video.channels": channels,
        "video.fps": fps,
        "video.codec": CODEC,
        "video.pix_fmt": PIXELS,
        "video.is_depth_map": False,
        "has_audio": False,
    }


def frames_table(columns: Mapping[str, np.ndarray], features: Features) -> Any:
    """
    :param columns: All columns of an episode; those that are stored as videos are left out.
    :param features: ``features`` of ``info.json``.
    :return: The table, with the description that the library ``datasets`` looks for.
    """
    arrow = import_arrow()
    fields: list[Any] = []
    arrays: list[Any] = []
    described: Features = {}
    for name, array in columns.items():
        kind, (width, *_) = features[name]["dtype"], features[name]["shape"]
        if kind == "video":
            continue
        if kind == "image":
            cells = [{"bytes": encode_png(image), "path": f"frame-{row:06d}.png"} for row, image in enumerate(array)]
            type_ = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
            arrays.append(arrow.array(cells, type_))
            described[name] = {"_type": "Image"}
        else:
            type_ = arrow.from_numpy_dtype(array.dtype)
            described[name] = {"dtype": kind, "_type": "Value"}
            values = arrow.array(array.ravel(), type_)
            if width > 1:
                type_ = arrow.list_(type_, width)
                values = arrow.FixedSizeListArray.from_arrays(values, width)
                described[name] = {"feature": described[name], "length": width, "_type": "List"}
            arrays.append(values)
        fields.append(arrow.field(name, type_))
    metadata = {"huggingface": json.dumps({"info": {"features": described}})}
    return arrow.Table.from_arrays(arrays, schema=arrow.schema(fields, metadata=metadata))


def encode_png(image: np.ndarray) -> bytes:
    """:return: An image of uint8 (height, width, 3) as a PNG file."""
    memory = io.BytesIO()
    # the fastest level that compresses: the default's files are a tenth smaller and take three times as long
    import_optional("PIL.Image", extra="demonstrations").fromarray(image).save(memory, "PNG", compress_level=1)
    return memory.getvalue()


def tasks_table(instructions: Sequence[str]) -> Any:
    """
    :param instructions: All instructions; their numbers are their places.
    :return: The table in which pandas finds a frame with the instructions as its index.
    """
    arrow = import_arrow()
    index = "__index_level_0__"
    columns = [(index, "unicode", "object", None), ("task_index", "int64", "int64", "task_index")]
    described = {
        "index_columns": [index],
        "column_indexes": [],
        "columns": [
            {"name": name, "field_name": field, "pandas_type": kind, "numpy_type": numpy_type, "metadata": None}
            for field, kind, numpy_type, name in columns
        ],
        "pandas_version": "2.3.3",
    }
    numbers = arrow.array(range(len(instructions)), arrow.int64())
    table = arrow.table({"task_index": numbers, index: arrow.array(instructions, arrow.string())})
    return table.replace_schema_metadata({"pandas": json.dumps(described)})

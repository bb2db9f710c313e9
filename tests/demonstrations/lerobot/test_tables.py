"""The columns of an episode: what is stored under which name, as pyarrow and pandas read it."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sb3_rpd.demonstrations.episodes import Episode
from sb3_rpd.demonstrations.lerobot.tables import columns_of, describe_features, frames_table, index_columns, tasks_table

#: Noise, which only a lossless format keeps.
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 6, 4, 3), dtype=np.uint8)
#: No two of its arrays are the same. Every second of the episode's steps was kept.
EPISODE = Episode(
    instruction="go",
    images={"wrist": IMAGES},
    vectors={"state": np.array([[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]], np.float32), "force": np.float32([[7], [8], [9]])},
    actions=np.array([[2], [0], [1]]),
    executed_actions=np.array([[1], [1], [0]]),
    rewards=np.float32([-1.0, -0.25, 3.0]),
    dones=np.array([False, False, True]),
    successes=np.array([False, True, False]),
    steps=np.array([0, 2, 4]),
    success=False,
    length=5,
    seed=3,
    noise=0.0,
)
STORED = {
    "observation.state": [[0.5, 1.5], [2.5, 3.5], [4.5, 5.5]],
    "observation.force": [7.0, 8.0, 9.0],
    "action": [2, 0, 1],
    "executed_action": [1, 1, 0],
    "next.reward": [-1.0, -0.25, 3.0],
    "next.done": [False, False, True],
    "next.success": [False, True, False],
    "step": [0, 2, 4],
    # twenty frames before it, four a second
    "timestamp": [0.0, 0.25, 0.5],
    "frame_index": [0, 1, 2],
    "episode_index": [5, 5, 5],
    "index": [20, 21, 22],
    "task_index": [1, 1, 1],
}


def stored(path, video):
    columns = columns_of(EPISODE) | index_columns(3, 4, episode=5, first=20, task=1)
    # as it comes back from info.json
    features = json.loads(json.dumps(describe_features(columns, 4, video)))
    pq.write_table(frames_table(columns, features), path)
    return pq.read_table(path).to_pydict(), features


def test_each_column_has_what_it_is_called(tmp_path):
    table, features = stored(tmp_path / "0.parquet", video=False)
    cells = table.pop("observation.images.wrist")
    assert table == STORED
    np.testing.assert_array_equal([np.asarray(Image.open(io.BytesIO(cell["bytes"]))) for cell in cells], IMAGES)
    assert len({cell["path"] for cell in cells}) == 3
    assert features["observation.state"] == {"dtype": "float32", "shape": [2], "names": ["state_0", "state_1"]}
    assert features["action"] == {"dtype": "int64", "shape": [1], "names": ["action_0"]}
    assert features["next.done"] == {"dtype": "bool", "shape": [1], "names": ["done_0"]}


def test_videos_are_described_and_not_in_the_table(tmp_path):
    table, features = stored(tmp_path / "0.parquet", video=True)
    assert table == STORED
    described = features["observation.images.wrist"]
    assert (described["dtype"], described["shape"]) == ("video", [6, 4, 3])
    assert (described["info"]["video.height"], described["info"]["video.width"], described["info"]["video.fps"]) == (6, 4, 4)


@given(dtype=st.sampled_from(["float32", "float64", "int64", "bool"]), n=st.integers(1, 5), width=st.integers(1, 5))
def test_a_vector_is_a_list_of_fixed_length_and_one_number_a_number(dtype, n, width):
    array = (np.arange(n * width).reshape(n, width) % 7 - 3).astype(dtype)
    table = frames_table({"x": array}, describe_features({"x": array}, 10, False))
    number = pa.from_numpy_dtype(np.dtype(dtype))
    assert table.schema.field("x").type == (number if width == 1 else pa.list_(number, width))
    assert table["x"].to_pylist() == (array[:, 0] if width == 1 else array).tolist()


def test_pandas_finds_the_instructions_as_an_index(tmp_path):
    instructions = ["push the cube", "die Tür öffnen", ""]
    pq.write_table(tasks_table(instructions), tmp_path / "tasks.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "tasks.parquet"), pd.DataFrame({"task_index": [0, 1, 2]}, index=instructions)
    )

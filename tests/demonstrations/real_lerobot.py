"""
With the library LeRobot itself, in an environment of its own (``make test-lerobot``): it reads what is recorded here, and
what it writes is read here.
"""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lerobot.datasets.lerobot_dataset import LeRobotDataset
from lerobot.datasets.utils import dataset_to_policy_features
from lerobot_specification import check_lerobot
from toy_painted_env import SIZE, PaintedEnv, paint, to_the_middle

from sb3_rpd.demonstrations import ActionNoise, Demonstrations, read_demonstrations, record

IMAGE = "observation.images.frame"


def record_two_tasks(folder: Path, video: bool) -> Demonstrations:
    format = "lerobot-video" if video else "lerobot"
    options: dict[str, Any] = {"teacher": to_the_middle, "noise": ActionNoise((0.0, 0.5)), "format": format}
    record(PaintedEnv(), folder, episodes=4, **options)
    record(PaintedEnv(), folder, episodes=3, instruction="do it again", **options)
    return read_demonstrations(folder)


def as_uint8(image: Any) -> np.ndarray:
    """LeRobot's image, float32 (3, height, width) in [0, 1], as it is recorded."""
    return np.rint(image.numpy().transpose(1, 2, 0) * 255).astype(np.uint8)


@pytest.mark.parametrize("video", [False, True])
def test_lerobot_reads_what_is_recorded(video: bool, tmp_path: Path) -> None:
    ours = record_two_tasks(tmp_path / "demos", video)
    theirs = LeRobotDataset("local/demos", root=tmp_path / "demos", video_backend="pyav")
    assert (theirs.num_episodes, theirs.num_frames, theirs.fps) == (7, len(ours), 10)
    assert set(theirs.meta.tasks.index) == {"go to the middle", "do it again"}
    for index, frame in enumerate(ours):
        item = theirs[index]
        assert item["task"] == frame.instruction
        assert int(item["episode_index"]) == frame.episode
        np.testing.assert_array_equal(item["action"].numpy(), frame.action)
        np.testing.assert_array_equal(item["observation.state"].numpy(), frame.state)
        painted = paint(frame.state)
        if video:
            # the codec stores half as many colors as pixels: next to the dot's edges they run
            assert np.abs(as_uint8(item[IMAGE]).astype(int) - painted).mean() < 12
            np.testing.assert_allclose(as_uint8(item[IMAGE]), frame.images["frame"], atol=4)
        else:
            np.testing.assert_array_equal(as_uint8(item[IMAGE]), painted)


def test_lerobot_finds_neighbors_in_time_and_one_action(tmp_path: Path) -> None:
    ours = record_two_tasks(tmp_path / "demos", video=False)
    theirs = LeRobotDataset("local/demos", root=tmp_path / "demos", delta_timestamps={"action": [0.0, 0.1]})
    first = theirs[0]
    np.testing.assert_array_equal(first["action"].numpy(), ours.actions[:2])
    kinds = {name: feature.type.name for name, feature in dataset_to_policy_features(theirs.features).items()}
    assert kinds == {IMAGE: "VISUAL", "observation.state": "STATE", "action": "ACTION"}


def test_lerobot_has_the_statistics(tmp_path: Path) -> None:
    ours = record_two_tasks(tmp_path / "demos", video=False)
    stats = LeRobotDataset("local/demos", root=tmp_path / "demos").meta.stats
    actions = ours.actions.astype(np.float64)
    np.testing.assert_allclose(stats["action"]["q99"], np.quantile(actions, 0.99, axis=0))
    np.testing.assert_allclose(stats["action"]["std"], actions.std(axis=0))
    pixels = np.stack([paint(state) for state in ours.states]) / 255
    np.testing.assert_allclose(stats[IMAGE]["mean"][:, 0, 0], pixels.mean(axis=(0, 1, 2)))
    np.testing.assert_allclose(stats[IMAGE]["std"][:, 0, 0], pixels.std(axis=(0, 1, 2)))


@pytest.mark.parametrize("video", [False, True])
def test_what_lerobot_writes_is_read(video: bool, tmp_path: Path) -> None:
    features = {
        IMAGE: {"dtype": "video" if video else "image", "shape": (SIZE, SIZE, 3), "names": ["height", "width", "channels"]},
        "observation.state": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "action": {"dtype": "float32", "shape": (3,), "names": ["x", "y", "gripper"]},
    }
    theirs = LeRobotDataset.create("local/theirs", 10, features, root=tmp_path / "theirs", use_videos=video, vcodec="h264")
    rng = np.random.default_rng(0)
    written = []
    for episode in range(3):
        for _ in range(4 + episode):
            state = rng.uniform(-1, 1, 2).astype(np.float32)
            action = rng.uniform(-1, 1, 3).astype(np.float32)
            written.append((episode, f"task {episode % 2}", state, action))
            theirs.add_frame(
                {IMAGE: paint(state), "observation.state": state, "action": action, "task": f"task {episode % 2}"}
            )
        theirs.save_episode()
    theirs.finalize()
    check_lerobot(tmp_path / "theirs")
    ours = read_demonstrations(tmp_path / "theirs")
    assert len(ours) == len(written) == 15
    for frame, (episode, task, state, action) in zip(ours, written, strict=True):
        assert (frame.episode, frame.instruction) == (episode, task)
        np.testing.assert_array_equal(frame.state, state)
        np.testing.assert_array_equal(frame.action, action)
        difference = np.abs(frame.images["frame"].astype(int) - paint(state))
        assert difference.mean() < (20 if video else 1e-9)

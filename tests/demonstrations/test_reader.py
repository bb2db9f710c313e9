import pickle
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from torch.utils.data import DataLoader
from toy_painted_env import PaintedEnv, paint, to_the_middle

from sb3_rpd.demonstrations import ActionNoise, DemonstrationsError, read_demonstrations, record


@pytest.fixture(scope="module", params=["lerobot", "lerobot-video"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demonstrations")
    for instruction, episodes in (("here", 8), ("there", 4)):
        record(
            PaintedEnv(),
            folder,
            teacher=to_the_middle,
            episodes=episodes,
            instruction=instruction,
            noise=ActionNoise((0.4,)),
            format=request.param,
        )
    return folder


def shows(image, state):
    """Whether an image shows a state; videos blur a little."""
    return np.abs(image.astype(int) - paint(state)).mean() < 12


def test_frames_are_found_in_any_order(folder):
    frames = read_demonstrations(folder)
    assert len(frames) > 30
    for index in np.random.default_rng(0).permutation(len(frames)).tolist():
        frame = frames[index]
        assert shows(frame.images["frame"], frame.state)
        assert frame.images["frame"].dtype == np.uint8
        np.testing.assert_array_equal(frame.action, frames.actions[index])
        np.testing.assert_array_equal(frame.state, frames.states[index])
        assert (frame.instruction, frame.episode) == (frames.instructions[index], frames.episodes[index])
    np.testing.assert_array_equal(frames[-1].state, frames.states[len(frames) - 1])
    with pytest.raises(IndexError):
        frames[len(frames)]


def test_a_slice_and_a_copy_have_their_own_frames(folder):
    frames = read_demonstrations(folder)
    part = pickle.loads(pickle.dumps(frames[5:20:3]))
    assert len(part) == len(list(part)) == 5
    np.testing.assert_array_equal(part.actions, frames.actions[5:20:3])
    assert shows(part.image(1), frames.states[8])


def unchanged(frame):
    return frame


def test_a_worker_process_reads_what_its_parent_has_read(folder):
    frames = read_demonstrations(folder)
    before = frames.image(3)
    # Forking may hang where the parent has threads
    loader = DataLoader(frames, batch_size=None, num_workers=1, multiprocessing_context="spawn", collate_fn=unchanged)
    for index, frame in enumerate(loader):
        if index == 3:
            np.testing.assert_array_equal(frame.images["frame"], before)
        assert shows(frame.images["frame"], frames.states[index])
    assert index == len(frames) - 1


def test_a_split_has_each_instruction_on_both_sides_and_no_episode_twice(folder):
    frames = read_demonstrations(folder)
    training, held_out = frames.split(0.25, seed=3)
    assert set(training.episodes).isdisjoint(held_out.episodes)
    assert sorted([*training.indices, *held_out.indices]) == list(range(len(frames)))
    # a quarter of 8 and of 4
    assert len(set(held_out.episodes) & set(range(8))) == 2
    assert len(set(held_out.episodes) & set(range(8, 12))) == 1
    again = frames.split(0.25, seed=3)[1]
    np.testing.assert_array_equal(again.indices, held_out.indices)
    assert {tuple(frames.split(0.25, seed=seed)[1].indices) for seed in range(5)} != {tuple(held_out.indices)}


def test_a_split_needs_two_episodes_of_each_instruction(folder):
    frames = read_demonstrations(folder)
    first = frames[: int(np.argmax(frames.episodes == 1))]
    with pytest.raises(ValueError, match="'here' has 1 episode"):
        first.split()
    with pytest.raises(ValueError, match=r"held_out=1\.0"):
        frames.split(1.0)


def test_cameras_are_named(folder):
    frames = read_demonstrations(folder)
    assert frames.cameras == ("frame",)
    with pytest.raises(ValueError, match=r"are \['frame'\]: name one of them, not 'wrist'"):
        frames.image(0, "wrist")


def test_a_missing_file_is_named(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    frames = read_demonstrations(copy)
    last = sorted((*copy.rglob("file-011.mp4"), *copy.rglob("file-011.parquet")))[-1]
    last.unlink()
    with pytest.raises(DemonstrationsError, match=rf"missing: .*{last.name}"):
        frames.image(len(frames) - 1)


def test_images_are_read_a_few_at_a_time(folder):
    for path in (folder / "data").rglob("*.parquet"):
        described = pq.read_metadata(path)
        assert max(described.row_group(group).num_rows for group in range(described.num_row_groups)) <= 8

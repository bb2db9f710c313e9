import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from lerobot_specification import check_lerobot
from toy_painted_env import PaintedEnv, paint, to_the_middle

from sb3_rpd import TeacherActionWrapper
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.demonstrations import ActionNoise, DemonstrationsError, read_demonstrations, record
from sb3_rpd.demonstrations.files import only_writer

NOISE = ActionNoise((0.0, 0.5))


def record_toy(folder, episodes=4, env=None, **kwargs):
    return record(env or PaintedEnv(), folder, teacher=to_the_middle, episodes=episodes, **{"noise": NOISE, **kwargs})


def content(folder):
    """All that is read of a data set."""
    frames = read_demonstrations(folder)
    images = np.stack([frames.image(index) for index in range(len(frames))])
    return {"actions": frames.actions, "states": frames.states, "episodes": frames.episodes, "images": images}


@pytest.mark.parametrize("format", ["lerobot", "lerobot-video"])
def test_recordings_in_one_folder_keep_to_the_specification(format, tmp_path):
    record_toy(tmp_path, format=format)
    check_lerobot(tmp_path)
    record_toy(tmp_path, format=format, instruction="do it again", episodes=3, keep=0.5)
    check_lerobot(tmp_path)
    frames = read_demonstrations(tmp_path)
    assert [frames.instructions[int(np.argmax(frames.episodes == episode))] for episode in range(7)] == (
        ["go to the middle"] * 4 + ["do it again"] * 3
    )


def test_what_is_read_is_what_was_played(tmp_path):
    recording = record_toy(tmp_path, episodes=6)
    frames = read_demonstrations(tmp_path)
    assert (recording.episodes, recording.frames, recording.attempts) == (6, len(frames), 6)
    for frame in frames:
        np.testing.assert_allclose(frame.action[:2], np.clip(-2.5 * frame.state.astype(np.float64), -1, 1), atol=1e-6)
        np.testing.assert_array_equal(frame.images["frame"], paint(frame.state))


def test_the_same_call_goes_on_where_it_was(tmp_path):
    record_toy(tmp_path / "at once", episodes=5)
    seen = []
    record_toy(tmp_path / "in parts", episodes=2)
    record_toy(tmp_path / "in parts", episodes=5, progress=lambda recording: seen.append(recording.episodes))
    assert seen == [2, 3, 4, 5]
    at_once, in_parts = content(tmp_path / "at once"), content(tmp_path / "in parts")
    for name, array in at_once.items():
        np.testing.assert_array_equal(in_parts[name], array, err_msg=name)
    env = PaintedEnv()
    assert record_toy(tmp_path / "in parts", episodes=5, env=env).frames == len(at_once["actions"])
    assert env.rendered == 0


@pytest.mark.parametrize("other", [{"seed": 1}, {"noise": ActionNoise((0.5,))}, {"notes": {"camera": "side"}}])
def test_a_call_with_other_settings_adds_other_episodes(other, tmp_path):
    record_toy(tmp_path, episodes=2)
    record_toy(tmp_path, episodes=2, **other)
    frames = read_demonstrations(tmp_path)
    starts = [frames[int(np.argmax(frames.episodes == episode))].state for episode in range(4)]
    assert len(np.unique(starts, axis=0)) == 4


def test_episodes_take_the_noise_levels_in_turn(tmp_path):
    record_toy(tmp_path, episodes=5, noise=ActionNoise((0.0, 0.1, 0.4)), format="maniskill")
    entries = json.loads((tmp_path / "trajectory.json").read_text())["episodes"]
    assert [entry["origin"]["noise"] for entry in entries] == [0.0, 0.1, 0.4, 0.0, 0.1]


def test_only_successes_are_kept_where_they_are_wanted(tmp_path):
    # strong noise and little time
    settings = {"env": PaintedEnv(max_steps=6), "noise": ActionNoise((0.0, 1.0)), "format": "maniskill", "episodes": 8}
    everything = record_toy(tmp_path / "all", **settings)
    assert everything.successes < 8
    successes = record_toy(tmp_path / "successes", successes_only=True, **settings)
    assert (successes.episodes, successes.successes) == (8, 8)
    assert successes.attempts > 8
    entries = json.loads((tmp_path / "successes/trajectory.json").read_text())["episodes"]
    assert all(entry["info"]["success"] for entry in entries)
    assert [entry["origin"]["noise"] for entry in entries] == [0.0, 1.0] * 4
    again = record_toy(tmp_path / "successes", successes_only=True, **{**settings, "episodes": 9})
    assert again.attempts > successes.attempts


def test_a_teacher_that_never_succeeds_is_given_up(tmp_path, monkeypatch):
    step = PaintedEnv.step
    monkeypatch.setattr(PaintedEnv, "step", lambda env, action: (*step(env, action)[:4], {"is_success": False}))
    with pytest.raises(ValueError, match=r"200 attempts in a row .* were none"):
        record_toy(tmp_path, env=PaintedEnv(2), successes_only=True)
    with pytest.raises(DemonstrationsError, match="holds no demonstrations"):
        read_demonstrations(tmp_path)


def test_successes_that_nobody_tells_cannot_be_wanted(tmp_path, monkeypatch):
    step = PaintedEnv.step
    monkeypatch.setattr(PaintedEnv, "step", lambda env, action: (*step(env, action)[:4], {}))
    with pytest.raises(ValueError, match="is_success"):
        record_toy(tmp_path, successes_only=True)
    assert record_toy(tmp_path).successes is None
    check_lerobot(tmp_path)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"observation": {"frame": lambda env: env.render()[:8]}},
            r"images.frame' is image of shape .* there and image of shape",
        ),
        ({"observation": {"side": lambda env: env.render()}}, r"'observation.images.frame' is .* there and missing here"),
        ({"format": "lerobot-video"}, "stores what cameras see as images: record that"),
        ({"format": "maniskill"}, "not recorded here in this format"),
        ({"fps": 20}, "has 10 frames a second, not 20"),
    ],
)
def test_what_does_not_fit_is_refused(change, complaint, tmp_path):
    record_toy(tmp_path, episodes=2)
    with pytest.raises(DemonstrationsError, match=complaint) as refusal:
        record_toy(tmp_path, instruction="another one", **change)
    assert pq.read_metadata(tmp_path / "meta/tasks.parquet").num_rows == 1
    assert "another folder" in str(refusal.value)
    assert len(str(refusal.value)) < 300 + len(str(tmp_path))
    assert len(np.unique(read_demonstrations(tmp_path).episodes)) == 2
    check_lerobot(tmp_path)


@pytest.mark.parametrize("format", ["lerobot", "maniskill"])
def test_a_data_set_of_somebody_else_is_not_added_to(format, tmp_path):
    record_toy(tmp_path, episodes=1, format=format)
    for path in tmp_path.rglob("recordings.json"):
        path.unlink()
    with pytest.raises(DemonstrationsError, match="not recorded here"):
        record_toy(tmp_path, format=format)


def test_two_processes_do_not_write_to_one_folder(tmp_path):
    with only_writer(tmp_path), pytest.raises(DemonstrationsError, match="Another process records into"):
        record_toy(tmp_path)


def test_an_interruption_leaves_a_complete_data_set(tmp_path):
    def interrupt(recording):
        if recording.episodes == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record_toy(tmp_path, progress=interrupt)
    check_lerobot(tmp_path)
    assert set(read_demonstrations(tmp_path).episodes) == {0, 1, 2}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"episodes": 0}, "at least one"),
        ({"keep": 0.0}, "keep=0.0"),
        ({"format": "rlds"}, "'lerobot', 'lerobot-video', 'maniskill'"),
        ({"format": "maniskill", "keep": 0.5}, "leave keep out"),
    ],
)
def test_arguments_out_of_their_range_are_refused(arguments, complaint, tmp_path):
    with pytest.raises(ValueError, match=complaint):
        record_toy(tmp_path / "demos", **arguments)
    assert not (tmp_path / "demos").exists()


def test_the_rate_of_actions_must_be_known(tmp_path, monkeypatch):
    monkeypatch.setattr(PaintedEnv, "metadata", {})
    with pytest.raises(ValueError, match=r"record\(fps=...\)"):
        record_toy(tmp_path)
    record_toy(tmp_path, fps=7)
    assert read_demonstrations(tmp_path).fps == 7


def test_a_teacher_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    env = TeacherActionWrapper(PaintedEnv(), observation={"where": lambda env: env.position})
    with pytest.raises(TeacherError, match="shape"):
        record(env, tmp_path, teacher=lambda observations: np.zeros((1, 4)))
    assert not list(tmp_path.rglob("*.parquet"))


def test_there_may_be_more_episodes_than_a_table_of_them_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("sb3_rpd.demonstrations.lerobot.episode_table._EPISODES_PER_FILE", 2)
    monkeypatch.setattr("sb3_rpd.demonstrations.lerobot.writing.FILES_PER_CHUNK", 3)
    record_toy(tmp_path, episodes=4)
    record_toy(tmp_path, episodes=7)
    tables = sorted(path.relative_to(tmp_path) for path in (tmp_path / "meta/episodes").rglob("*.parquet"))
    assert tables == [Path(f"meta/episodes/chunk-000/file-{number:03d}.parquet") for number in range(4)]
    assert len(list((tmp_path / "data/chunk-002").iterdir())) == 1
    frames = read_demonstrations(tmp_path)
    assert set(frames.episodes) == set(range(7))
    for index in (0, len(frames) - 1):
        np.testing.assert_array_equal(frames.image(index), paint(frames.states[index]))

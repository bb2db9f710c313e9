"""The recordings of a folder: which of them settings belong to, and whose folder it is."""

import json

import pytest

from sb3_rpd.demonstrations import DemonstrationsError
from sb3_rpd.demonstrations.recordings import RecordingList

FIRST = {"env": "Toy-v0", "noise": (0.0, 0.5), "notes": {"camera": "side", "light": None}}


def test_the_same_settings_have_the_same_number_also_in_another_process(tmp_path):
    recordings = RecordingList(tmp_path, "meta/recordings.json")
    assert [recordings.begin(settings) for settings in (FIRST, {**FIRST, "seed": 1}, FIRST)] == [0, 1, 0]
    # as it is read: a list where there was a tuple; and in whatever order
    again = RecordingList(tmp_path, "meta/recordings.json")
    assert again.begin({**FIRST, "seed": 1}) == 1
    assert again.begin(dict(reversed(FIRST.items()))) == 0
    assert again.begin({**FIRST, "noise": (0.0,)}) == 2
    stored = json.loads((tmp_path / "meta/recordings.json").read_text())
    listed = {**FIRST, "noise": [0.0, 0.5]}
    assert stored == [listed, {**listed, "seed": 1}, {**listed, "noise": [0.0]}]


def test_what_was_begun_does_not_change_with_the_caller_s_dict(tmp_path):
    recordings, settings = RecordingList(tmp_path, "recordings.json"), {"notes": {"camera": "side"}}
    assert recordings.begin(settings) == 0
    settings["notes"]["camera"] = "top"
    assert recordings.begin(settings) == 1


def test_nothing_is_written_before_a_recording_begins(tmp_path):
    RecordingList(tmp_path / "new", "recordings.json")
    assert not list(tmp_path.iterdir())


def test_folders_and_hidden_files_are_nobody_s(tmp_path):
    (tmp_path / "data" / "chunk-000").mkdir(parents=True)
    (tmp_path / "data" / "chunk-000" / ".file-000.parquet.unfinished").touch()
    (tmp_path / ".recording.lock").touch()
    assert RecordingList(tmp_path, "recordings.json").begin(FIRST) == 0


@pytest.mark.parametrize("name", ["README.md", "data/chunk-000/file-000.parquet"])
def test_a_file_without_the_list_is_somebody_else_s(name, tmp_path):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(DemonstrationsError, match="not recorded here in this format: take another folder"):
        RecordingList(tmp_path, "recordings.json")

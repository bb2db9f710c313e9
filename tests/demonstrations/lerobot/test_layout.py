"""``info.json``: what is there, and what is no data set, or one of another layout."""

import json

import pytest

from sb3_rpd.demonstrations import DemonstrationsError
from sb3_rpd.demonstrations.lerobot.layout import read_info


def test_an_info_is_read_as_it_is_written(tmp_path):
    written = {"codebase_version": "v3.0", "fps": 30, "robot_type": "Roboter für Würfel", "features": {}}
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
    assert read_info(tmp_path) == written


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"{", "info.json is no JSON"),
        (b"", "info.json is no JSON"),
        (b'{"robot_type": "\xff"}', "info.json is no JSON"),
        (b'{"codebase_version": "v2.1"}', "has LeRobot's layout 'v2.1', not v3.0: convert it with LeRobot's own tools"),
        (b'{"codebase_version": 3.0}', "layout 3.0, not v3.0"),
        (b'{"fps": 10}', "layout None, not v3.0"),
        (b'["v3.0"]', "layout None, not v3.0"),
    ],
)
def test_what_is_no_data_set_is_refused(content, complaint, tmp_path):
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/info.json").write_bytes(content)
    with pytest.raises(DemonstrationsError, match=complaint):
        read_info(tmp_path)


@pytest.mark.parametrize("name", ["empty", "none", "file"])
def test_a_path_without_an_info_holds_no_demonstrations(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("of another kind")
    with pytest.raises(DemonstrationsError, match=rf"{name} holds no demonstrations: there is no meta/info\.json in it"):
        read_info(tmp_path / name)

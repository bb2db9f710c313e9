import os
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_rpd.cli import main


def test_help_says_what_there_is(capsys):
    for arguments, expected in ((["--help"], "serve"), (["serve", "--help"], "package.module:factory")):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert expected in capsys.readouterr().out


def test_help_does_not_show_the_key(capsys, monkeypatch):
    monkeypatch.setenv("SB3_RPD_API_KEY", "secret")
    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert "secret" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "COMMAND"),
        (["serve"], "teacher"),
        (["serve", "teachers:noisy", "--host", "0.0.0.0"], "set SB3_RPD_API_KEY"),
        (["serve", "teachers:noisy", "--port", "many"], "--port"),
    ],
)
def test_wrong_command_lines_are_refused(arguments, complaint, capsys, monkeypatch):
    monkeypatch.delenv("SB3_RPD_API_KEY", raising=False)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_teacher_that_cannot_be_found_is_named():
    command = [sys.executable, "-m", "sb3_rpd.cli", "serve", "no_such_module:teacher", "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, env={**os.environ})
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("sb3-rpd: The module of the teacher 'no_such_module:teacher'")

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sb3_rpd
from sb3_rpd.cli import main


def test_help_says_what_there_is(capsys):
    for arguments, expected in (
        (["--help"], "serve"),
        (["check", "--help"], "makes the environment"),
        (["serve", "--help"], "package.module:factory"),
    ):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        assert expected in capsys.readouterr().out


def test_the_version_is_the_package_s(capsys):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out == f"sb3_rpd {sb3_rpd.__version__}\n"


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
        (["check", "teachers:noisy"], "--env"),
    ],
)
def test_wrong_command_lines_are_refused(arguments, complaint, capsys, monkeypatch):
    monkeypatch.delenv("SB3_RPD_API_KEY", raising=False)
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == 2
    assert complaint in capsys.readouterr().err


def test_a_teacher_that_cannot_be_found_is_named():
    command = [sys.executable, "-m", "sb3_rpd", "serve", "no_such_module:teacher", "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, env={**os.environ})
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("sb3-rpd: The module of the teacher 'no_such_module:teacher'")


CHECKED = """
import gymnasium as gym
import numpy as np

def env():
    return gym.make("Pendulum-v1")

def at_rest():
    return lambda observations: np.zeros((len(observations), 1))

def too_strong():
    return lambda observations: np.full((len(observations), 1), 7.0)

def forgetful():
    return lambda observations: None
"""


@pytest.mark.parametrize(
    ("teacher", "status", "printed"),
    [
        ("checked_parts:at_rest", 0, "answered      2 of 2 states"),
        ("checked_parts:too_strong", 1, "answered      0 of 2 states: 2 of 2 answers have an action outside of Box(-2.0, 2.0"),
        ("checked_parts:forgetful", 1, "sb3-rpd: The check of the teacher FunctionTeacher(forgetful.<locals>.<lambda> at"),
        ("checked_parts:env", 1, "sb3-rpd: The factory 'checked_parts:env' made no teacher"),
    ],
)
def test_check_shows_what_it_saw(teacher, status, printed, tmp_path):
    (tmp_path / "checked_parts.py").write_text(CHECKED)
    command = [sys.executable, "-m", "sb3_rpd", "check", teacher, "--env", "checked_parts:env"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ})
    assert ended.returncode == status, ended.stderr
    lines = (ended.stdout + ended.stderr).splitlines()
    assert any(line.startswith(printed) for line in lines), lines

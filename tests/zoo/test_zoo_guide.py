"""The guide's page about the zoo: its commands run, one after the other, with less of everything."""

import shlex
from pathlib import Path

import pytest
from zoo_trials import PARAMS, waiting_study

from sb3_rpd.zoo.commands import main

ROOT = Path(__file__).parents[2]
PAGE = "docs/guide/rl_zoo.md"
LESS = {
    # One rollout, and an evaluation in it
    "train": ["--n-timesteps", "1", "--eval-freq", "512", "--eval-episodes", "1", "--n-trials", "2", "--no-optim-plots"],
    "enjoy": ["--n-timesteps", "10"],
}


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What stands behind ``python -m sb3_rpd.zoo``, in a folder that has what the page says."""
    monkeypatch.syspath_prepend(str(ROOT / "tests/documentation"))
    monkeypatch.chdir(tmp_path)
    import blocks

    on_page = [block for block in blocks.ALL_BLOCKS if block.page == PAGE]
    (written,) = (block for block in on_page if block.language == "yaml")
    (tmp_path / "mine.yml").write_text(written.code, encoding="utf-8")
    waiting_study("study.log", "pendulum", [PARAMS, PARAMS])
    lines = [shlex.split(line) for _, line in blocks.commands(on_page)]
    return [words[3:] for words in lines if words[:3] == ["python", "-m", "sb3_rpd.zoo"]]


def run(words: list[str]) -> int:
    return main([*words, *LESS[words[0]], "--device", "cpu"])


@pytest.mark.slow
def test_commands_run(commands: list[list[str]]) -> None:
    mine = [words for words in commands if "sb3_rpd/LiftCube-v0" not in words]
    assert [words[0] for words in mine] == ["train", "enjoy", *["train"] * 6]
    for words in mine:
        assert run(words) == 0, words


@pytest.mark.slow
@pytest.mark.maniskill2
def test_the_simulator_s_command_runs(commands: list[list[str]]) -> None:
    (words,) = (words for words in commands if "sb3_rpd/LiftCube-v0" in words)
    assert run(words) == 0
    assert Path("logs/rpd/sb3_rpd-LiftCube-v0_1/sb3_rpd-LiftCube-v0/vecnormalize.pkl").is_file()

"""README and documentation: each program runs as it stands, each command is one that there is, each link leads somewhere."""

import configparser
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import dropwhile
from pathlib import Path

import pytest
from blocks import ALL_BLOCKS, PAGES, ROOT, Block, blocks_of, commands, programs

from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.training.settings import read_settings

HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples"), str(HERE)])}
LANGUAGES = ("python", "bash", "yaml", "text", "bibtex")
COMMANDS = commands(ALL_BLOCKS)
#: But for those that need ManiSkill3, which real_maniskill3_guide.py runs.
PROGRAMS = [program for program in programs(ALL_BLOCKS) if program.page != "docs/guide/maniskill3.md"]


def needs(program: Block) -> list[pytest.MarkDecorator]:
    marks = [pytest.mark.slow]
    if "sb3_rpd.envs" in program.code:
        marks.append(pytest.mark.maniskill2)
    if '"rgb' in program.code:
        marks.append(pytest.mark.rendering)
    return marks


@pytest.fixture(scope="module")
def gpu_machine() -> Iterator[int]:
    """The port of a server with a teacher for Pendulum and the key that the documentation has."""
    command = [sys.executable, "-m", "sb3_rpd", "serve", "stand_ins:make_teacher", "--port", "0"]
    environment = ENVIRONMENT | {"SB3_RPD_API_KEY": "secret"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, cwd=HERE) as server:
        assert server.stdout is not None
        yield int(server.stdout.readline().rpartition(":")[2])
        server.terminate()


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    """The address of what stands in for the Hugging Face hub."""
    command = [sys.executable, str(ROOT / "tests/servers/hub_lookalike.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.terminate()


@pytest.mark.parametrize("program", [pytest.param(program, marks=needs(program), id=str(program)) for program in PROGRAMS])
def test_program_runs(program: Block, gpu_machine: int, hub: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(program.code, encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, str(HERE / "run_program.py"), str(path), str(gpu_machine)],
        cwd=tmp_path,
        env=ENVIRONMENT | {"HF_ENDPOINT": hub, "HF_TOKEN": "hf_secret", "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert finished.returncode == 0, f"{program}\n{finished.stderr}"


#: But for the zoo's, which the tests of the zoo train with.
SETTINGS = [block for block in ALL_BLOCKS if block.language == "yaml" and block.page != "docs/guide/rl_zoo.md"]


@pytest.mark.parametrize("block", SETTINGS, ids=str)
def test_settings_are_understood(block: Block, tmp_path: Path) -> None:
    (tmp_path / "settings.yaml").write_text(block.code, encoding="utf-8")
    settings = read_settings(tmp_path / "settings.yaml")
    assert read_named_values(settings.rpd).keys() == settings.rpd.keys()


def test_no_block_is_of_a_kind_that_is_not_run() -> None:
    others = [str(block) for block in ALL_BLOCKS if block.language not in LANGUAGES and not block.language.startswith("{")]
    assert others == []


# ------------------------------------------------------------------ commands


def check_make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [word for word in words[1:] if "=" not in word]
    for target in targets:
        assert re.search(rf"^{re.escape(target)}:", makefile, flags=re.MULTILINE), f"there is no target {target}"


def check_pip(words: list[str]) -> None:
    assert words[1] == "install"
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for word in words[2:]:
        extras = re.fullmatch(r"(?:\.|sb3_rpd)\[(.*)\]", word)
        if extras:
            missing = set(extras[1].split(",")) - {*setup["options.extras_require"]}
            assert not missing, f"there is no extra {missing}"


def check_apt(words: list[str]) -> None:
    script = (ROOT / "scripts/install_system_packages.sh").read_text(encoding="utf-8")
    for package in (word for word in words[2:] if not word.startswith("-")):
        assert package in script


@cache
def usage_of(*program: str) -> str:
    """What a program says of itself, asked once."""
    command = [sys.executable, *program, "--help"]
    finished = subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def check_python(words: list[str]) -> None:
    if words[1] == "-m":
        program, arguments = words[1:3], words[3:]
    else:
        assert (ROOT / words[1]).is_file(), f"there is no {words[1]}"
        program, arguments = words[1:2], words[2:]
    usage = usage_of(*program)
    for option in (word for word in arguments if word.startswith("--")):
        if program[0] != "-m":
            assert option in usage, f"{program} has no option {option}"


def check_sb3_rpd(words: list[str]) -> None:
    usage = usage_of("-m", "sb3_rpd", words[1])
    for option in (word for word in words if word.startswith("--")):
        assert option in usage, f"sb3-rpd {words[1]} has no option {option}"


def check_tensorboard(words: list[str]) -> None:
    assert words[1] == "--logdir"
    logged = [block for block in ALL_BLOCKS if block.language == "python" and f'tensorboard_log="{words[2]}"' in block.code]
    assert logged, f"no program writes to {words[2]}"


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "pip": check_pip,
    "apt-get": check_apt,
    "python": check_python,
    "sb3-rpd": check_sb3_rpd,
    "tensorboard": check_tensorboard,
}


@pytest.mark.parametrize(("block", "command"), [pytest.param(*pair, id=f"{pair[0]} {pair[1][:40]}") for pair in COMMANDS])
def test_command_is_one_that_there_is(block: Block, command: str) -> None:
    # what is set for this command alone comes before it
    words = list(dropwhile(re.compile(r"\w+=").match, shlex.split(command)))
    CHECKS[words[0]](words)


# ------------------------------------------------------------------ links


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    local = [target.partition("#")[0] for target in targets if not re.match(r"\w+:", target) and not target.startswith("#")]
    missing = [target for target in local if not (page.parent / target).exists()]
    assert missing == []


# ------------------------------------------------------------------ the extraction itself


def test_blocks_are_found_with_their_language_and_line() -> None:
    text = "# Title\n\n```python\na = 1\n```\n\n```bash\nmake test  # all of them\npython x.py \\\n  --quick\n```\n"
    assert blocks_of(text, "page.md") == [
        Block("page.md", 3, "python", "a = 1\n"),
        Block("page.md", 7, "bash", "make test  # all of them\npython x.py \\\n  --quick\n"),
    ]


def test_a_block_that_continues_one_runs_with_it() -> None:
    text = "```python\na = 1\n```\n```python\n# Continues the block above.\nb = a\n```\n```python\nc = 2\n```\n"
    assert [program.code for program in programs(blocks_of(text, "page.md"))] == [
        "a = 1\n# Continues the block above.\nb = a\n",
        "c = 2\n",
    ]


def test_commands_lose_their_comments_and_line_breaks() -> None:
    text = "```bash\nmake test  # all of them\npython x.py \\\n  --quick\n```\n"
    assert [command for _, command in commands(blocks_of(text, "page.md"))] == ["make test", "python x.py    --quick"]

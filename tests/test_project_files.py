"""What surrounds the code: workflows, hooks and instructions call what there is, and one version is said everywhere."""

import itertools
import re
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

import sb3_rpd

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted(path.name for path in (ROOT / ".github" / "workflows").glob("*.yml"))
YAML_FILES = sorted(
    str(path.relative_to(ROOT)) for pattern in (".github/**/*.yml", ".*.yaml", "*.cff") for path in ROOT.glob(pattern)
)
#: Tests that take more room than a machine for CI has.
BY_HAND = {"test-lerobot"}
#: Files whose commands somebody, or some machine, copies.
INSTRUCTIONS = (
    "CONTRIBUTING.md",
    "README.md",
    ".pre-commit-config.yaml",
    ".github/pull_request_template.md",
    ".ci/run",
    *(f".github/workflows/{name}" for name in WORKFLOWS),
)


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def parsed(name: str) -> Any:
    return yaml.safe_load(read(name))


def make_targets() -> set[str]:
    (names,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), flags=re.MULTILINE)
    return set(names.split())


def called_targets(text: str) -> set[str]:
    """The targets of ``make a b``, in code: after ``run:``, ``entry:``, backticks or at the beginning of a line."""
    calls = re.findall(r"(?:^|`|run: |entry: )make((?: [a-z][a-z0-9-]*)+)", text, flags=re.MULTILINE)
    return set(itertools.chain.from_iterable(call.split() for call in calls))


@pytest.mark.parametrize("name", YAML_FILES)
def test_yaml_is_a_mapping(name: str) -> None:
    assert isinstance(parsed(name), dict)


@pytest.mark.parametrize("name", INSTRUCTIONS)
def test_targets_that_are_called_exist(name: str) -> None:
    targets = called_targets(read(name))
    assert targets, f"no call of make was found in {name}"
    assert targets <= make_targets()


def test_every_target_that_checks_runs_in_both_ci() -> None:
    lanes = re.findall(r"^lane (.*) &$", read(".ci/run"), flags=re.MULTILINE)
    assert len(lanes) == 2
    here = set(itertools.chain.from_iterable(lane.split() for lane in lanes))
    tests = {name for name in make_targets() if name.startswith("test")}
    assert here == {"lint", "type", "doc", "dist"} | tests - BY_HAND
    assert called_targets(read(".github/workflows/ci.yml")) == here


def test_hooks_are_the_targets_of_commit_checks() -> None:
    (repository,) = parsed(".pre-commit-config.yaml")["repos"]
    hooks = {hook["entry"] for hook in repository["hooks"]}
    assert hooks == {"make lint", "make type"}
    (recipe,) = re.findall(r"^commit-checks:.*\n((?:\t.*\n)+)", read("Makefile"), flags=re.MULTILINE)
    assert hooks <= {f"make {target}" for target in re.findall(r"\$\(MAKE\) (\S+)", recipe)}


def test_workflows_cover_the_releases_of_python_that_are_claimed() -> None:
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    claimed = set(re.findall(r"Python :: (3\.\d+)", metadata["metadata"]["classifiers"]))
    jobs = parsed(".github/workflows/ci.yml")["jobs"]
    steps = [step for job in jobs.values() for step in job["steps"] if "setup-python" in step.get("uses", "")]
    tested = {step["with"]["python-version"] for step in steps} | set(jobs["tests"]["strategy"]["matrix"]["python"])
    assert tested - {"${{ matrix.python }}"} == claimed


def test_publishing_has_no_password_and_comes_after_all_checks() -> None:
    text = read(".github/workflows/release.yml")
    release = yaml.safe_load(text)
    # YAML 1.1 takes "on" for a boolean
    assert release[True] == {"push": {"tags": ["v*"]}}
    jobs = release["jobs"]
    assert (jobs["publish"]["needs"], jobs["build"]["needs"]) == ("build", "ci")
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in parsed(".github/workflows/ci.yml")[True]
    assert "secrets." not in text


def test_citation_has_the_version() -> None:
    citation = parsed("CITATION.cff")
    assert citation["version"] == sb3_rpd.__version__
    assert citation["preferred-citation"]["title"] in read("README.md").replace("\n", " ")


def test_files_that_contributing_names_exist() -> None:
    text = read("CONTRIBUTING.md")
    folders = ("", "sb3_rpd/", "sb3_rpd/fast_path/", "tests/fast_path/", ".github/workflows/")
    names = set(re.findall(r"`([\w./-]+(?:\.(?:py|md|cfg|cff|txt|yml)|/))`", text))
    assert {"setup.cfg", "sb3_rpd/common/losses/", "tests/servers/", "applicability.py"} <= names
    missing = {name for name in names if not any((ROOT / folder / name).exists() for folder in folders)}
    assert not missing


def test_names_in_the_code_that_contributing_names_exist() -> None:
    text = read("CONTRIBUTING.md")
    paths = itertools.chain(*((ROOT / folder).rglob("*.py") for folder in ("sb3_rpd", "tests")))
    source = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    names = set(re.findall(r"`((?:\w+\.)?_?[A-Z]\w+)`", text))
    assert {"_LOSSES", "WeightedLoss", "RegressionImitation._DERIVATIVES", "CASES"} <= names
    missing = {name for name in names if not re.search(rf"^\s*(?:class )?{name.split('.')[-1]}\b", source, flags=re.MULTILINE)}
    assert not missing

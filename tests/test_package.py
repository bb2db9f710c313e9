"""The package as it is installed: version, types, what importing it costs, what a wheel holds."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import pytest

import sb3_rpd

ROOT = Path(__file__).parents[1]

#: What only some users have, or what takes seconds to import.
HEAVY = ("transformers", "sapien", "mani_skill2", "matplotlib", "tensorboard", "websockets")


def run_python(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_version_is_one_and_the_same() -> None:
    assert sb3_rpd.__version__ == version("sb3_rpd")
    assert re.search(rf"^## .*\b{re.escape(sb3_rpd.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)


def test_everything_offered_is_there() -> None:
    for name in sb3_rpd.__all__:
        assert getattr(sb3_rpd, name) is not None


@pytest.mark.parametrize("module", ["sb3_rpd", "sb3_rpd.teachers", "sb3_rpd.envs", "sb3_rpd.common.schedules"])
def test_import_is_light(module: str) -> None:
    code = f"import stable_baselines3, sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    imported = {name.split(".")[0] for name in run_python(code).split()}

    assert module.split(".")[0] in imported
    assert imported.isdisjoint(HEAVY)


def test_extras_name_what_they_bring() -> None:
    by_extra = "\n".join(requires("sb3_rpd") or [])

    for extra in ("maniskill2", "extra", "tests", "lint", "docs"):
        assert re.search(rf"extra == ['\"]{extra}['\"]", by_extra), f"no extra {extra!r} in\n{by_extra}"
    # Without an extra nobody gets a simulator.
    assert not [line for line in by_extra.splitlines() if "mani" in line and "extra ==" not in line]


def test_missing_simulator_names_its_extra() -> None:
    code = """
import sys
sys.modules["mani_skill2"] = None  # as if it were not installed
from sb3_rpd.envs import make_maniskill2_env
try:
    make_maniskill2_env("LiftCube-v0")
except ImportError as error:
    print(error)
"""
    assert "sb3_rpd[maniskill2]" in run_python(code)


@pytest.mark.slow
def test_wheel_has_the_package_and_nothing_else(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "sb3_rpd", source / "sb3_rpd", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests", source / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True, timeout=240)

    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(path.relative_to(source)) for path in source.glob("sb3_rpd/**/*") if path.is_file()}
    assert {"sb3_rpd/py.typed", "sb3_rpd/version.txt", "sb3_rpd/rpd/rpd.py"} <= package
    assert {name for name in names if ".dist-info/" not in name} == package
    assert [name for name in names if name.endswith("LICENSE")]

"""The package as it is installed: version, types, what importing it costs, what a wheel holds."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import requires, version
from pathlib import Path
from typing import Any

import pytest

import sb3_rpd

ROOT = Path(__file__).parents[1]

#: What only some users have, or what takes seconds to import.
HEAVY = (
    *("transformers", "sapien", "mani_skill2", "mani_skill", "matplotlib", "tensorboard", "websockets"),
    *("pyarrow", "h5py", "av"),
    *("onnx", "onnxruntime", "huggingface_hub", "sb3_contrib"),
    *("rl_zoo3", "optuna", "pandas"),
)


def run_python(code: str, **kwargs: Any) -> str:
    command = [sys.executable, "-c", code]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **kwargs)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()


def test_version_is_one_and_the_same() -> None:
    assert sb3_rpd.__version__ == version("sb3_rpd")
    assert re.search(rf"^## .*\b{re.escape(sb3_rpd.__version__)}\b", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)


def test_everything_offered_is_there() -> None:
    for name in sb3_rpd.__all__:
        assert getattr(sb3_rpd, name) is not None


@pytest.mark.parametrize(
    "module", ["sb3_rpd", "sb3_rpd.teachers", "sb3_rpd.envs", "sb3_rpd.common.schedules", "sb3_rpd.demonstrations"]
)
def test_import_is_light(module: str) -> None:
    code = f"import stable_baselines3, sys; before = set(sys.modules); import {module}; print(*(set(sys.modules) - before))"
    imported = {name.split(".")[0] for name in run_python(code).split()}

    assert module.split(".")[0] in imported
    assert imported.isdisjoint(HEAVY)


def test_extras_name_what_they_bring() -> None:
    by_extra = "\n".join(requires("sb3_rpd") or [])

    for extra in ("maniskill2", "contrib", "extra", "tests", "lint", "docs", "dist"):
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


@pytest.mark.parametrize("statement", ["from sb3_rpd import {}", "import sb3_rpd.{}"])
def test_missing_sb3_contrib_names_its_extra(statement: str) -> None:
    is_module = statement.startswith("import")
    names = ("recurrent_rpd", "maskable_rpd") if is_module else ("RecurrentRPD", "MaskableRPD")
    statements = [statement.format(name) for name in names]
    code = f"""
import sys
sys.modules["sb3_contrib"] = None  # as if it were not installed
from sb3_rpd import *
for statement in {statements}:
    try:
        exec(statement)
    except ImportError as error:
        print(error)
"""
    lines = run_python(code).splitlines()
    assert len(lines) == 2
    for line in lines:
        assert line.endswith('Install it with `pip install "sb3_rpd[contrib]"`.')


def test_names_that_are_imported_on_request() -> None:
    assert sb3_rpd.RecurrentRPD.__module__ == "sb3_rpd.recurrent_rpd.recurrent_rpd"
    assert sb3_rpd.MaskableRPD.__module__ == "sb3_rpd.maskable_rpd.maskable_rpd"
    with pytest.raises(AttributeError, match="has no attribute 'RecurentRPD'"):
        sb3_rpd.RecurentRPD  # noqa: B018


def copy_of_the_project(folder: Path) -> Path:
    subprocess.run([ROOT / "scripts" / "copy_sources.sh", folder], check=True, timeout=120)
    return folder


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_copy_has_the_project_and_nothing_that_was_built(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "scripts").mkdir(parents=True)
    shutil.copy(ROOT / "scripts" / "copy_sources.sh", tree / "scripts")
    mine = {"setup.cfg", ".ci/run", "sb3_rpd/a.py", "docs/guide/b c.md", "tests/build/d.py", "scripts/copy_sources.sh"}
    built = {".git/config", ".venv-newest/a.py", "sb3_rpd.egg-info/PKG-INFO", "sb3_rpd/__pycache__/a.pyc", "build/a", "dist/a"}
    built |= {"runs/a/student.zip", "docs/_build/a.md", ".mypy_cache/a", ".hypothesis/a"}
    for name in (mine | built) - {"scripts/copy_sources.sh"}:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).touch()

    # From anywhere, to a folder that is not there
    subprocess.run([tree / "scripts" / "copy_sources.sh", "a copy"], cwd=tmp_path, check=True, timeout=120)
    assert files_of(tmp_path / "a copy") == mine


@pytest.mark.slow
def test_wheel_has_the_package_and_nothing_else(tmp_path: Path) -> None:
    source = copy_of_the_project(tmp_path / "source")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(tmp_path), str(source)], check=True, timeout=240)

    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(path.relative_to(source)) for path in source.glob("sb3_rpd/**/*") if path.is_file()}
    assert {"sb3_rpd/py.typed", "sb3_rpd/version.txt", "sb3_rpd/rpd/rpd.py"} <= package
    assert {name for name in names if ".dist-info/" not in name} == package
    assert [name for name in names if name.endswith("LICENSE")]


@pytest.mark.slow
def test_source_distribution_has_everything_and_installs(tmp_path: Path) -> None:
    source = copy_of_the_project(tmp_path / "source")
    before = files_of(source) - {".gitignore"}
    assert {"Makefile", ".ci/run", "sb3_rpd/rpd/rpd.py", "tests/test_package.py", "docs/index.md"} <= before
    run_python(f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})", cwd=source)

    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path / "unpacked", filter="data")
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    assert {name for name in files_of(unpacked) if ".egg-info/" not in name} == before | {"PKG-INFO"}
    assert os.access(unpacked / "scripts" / "install_system_packages.sh", os.X_OK)

    installed = tmp_path / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(installed), str(unpacked)], check=True, timeout=240)
    shutil.rmtree(unpacked / "sb3_rpd")
    # Its own tests, with their settings and helpers, on what was installed
    tests = "import pytest, sb3_rpd; print(sb3_rpd.__file__); pytest.main(['-q', 'tests/common/test_ppo_loss.py'])"
    output = run_python(tests, cwd=unpacked, env=os.environ | {"PYTHONPATH": str(installed)})
    assert output.startswith(str(installed / "sb3_rpd"))
    assert re.search(r"^\d+ passed in ", output, flags=re.MULTILINE)

"""What a user reads where ManiSkill2 is missing (sb3_rpd/envs/maniskill2/installation.py)."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from sb3_rpd.envs import make_maniskill2_env

PYTHON_3_11 = (3, 11, 7, "final", 0)
PYTHON_3_12 = (3, 12, 1, "final", 0)


def test_a_missing_installation_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", PYTHON_3_11)
    monkeypatch.setattr(np, "__version__", "1.23.5")
    monkeypatch.setitem(sys.modules, "mani_skill2.envs", None)  # makes the import fail
    with pytest.raises(ImportError, match=r'pip install "sb3_rpd\[maniskill2\]".*apt-get install libvulkan1') as raised:
        make_maniskill2_env("PickCube-v0")
    assert raised.value.name == "mani_skill2.envs"


def test_a_numpy_that_crashes_the_simulator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", PYTHON_3_11)
    monkeypatch.setattr(np, "__version__", "2.4.6")
    with pytest.raises(ImportError, match=r"numpy 2\.4\.6.*pip install"):
        make_maniskill2_env("PickCube-v0")


def test_a_python_without_the_simulator_is_named_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", PYTHON_3_12)
    monkeypatch.setattr(np, "__version__", "2.4.6")
    # One that somebody has built is used
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(ImportError, match=r"numpy 2\.4\.6"):
        make_maniskill2_env("PickCube-v0")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ImportError, match=r"^ManiSkill2 needs Python 3\.10 or 3\.11: .* no build for Python 3\.12, .*python3\.11 -m venv"
    ):
        make_maniskill2_env("PickCube-v0")


def test_importing_the_package_does_not_import_the_simulator() -> None:
    command = "import sys, sb3_rpd.envs; sys.exit(any(name.startswith(('mani_skill2', 'sapien')) for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", command], check=False).returncode == 0

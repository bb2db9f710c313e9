"""Fixtures of the tests of the OpenVLA teacher."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from sb3_rpd.teachers.openvla import make_tiny_openvla


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, not to be changed."""
    return make_tiny_openvla(tmp_path_factory.mktemp("openvla") / "tiny", seed=0)


@pytest.fixture
def own_tiny(tiny: Path, tmp_path: Path) -> Path:
    """A tiny checkpoint to change."""
    return Path(shutil.copytree(tiny, tmp_path / "own"))


@pytest.fixture
def frames() -> np.ndarray:
    """Six frames of smooth colors and noise, of another size than the network's input."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :80] / 64
    waves = [np.stack([np.sin(i + 5 * x), np.cos(3 * y * i), x * y - i % 2], axis=-1) for i in range(6)]
    noise = rng.normal(0, 0.2, (6, 64, 80, 3))
    return np.clip(127 + 100 * (np.array(waves) + noise), 0, 255).astype(np.uint8)


@pytest.fixture
def instructions() -> list[str]:
    """Instructions of different lengths, two of them alike."""
    return ["lift the cube", "Push it", "lift the cube", "put the red block on the green one", "push", "insert the peg"]

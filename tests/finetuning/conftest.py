"""A tiny checkpoint, and demonstrations of a dot that is brought to the middle of a picture."""

from pathlib import Path

import pytest
from toy_painted_env import PaintedEnv, to_the_middle

from sb3_rpd.demonstrations import ActionNoise, Demonstrations, read_demonstrations, record
from sb3_rpd.teachers import FunctionTeacher
from sb3_rpd.teachers.openvla import make_tiny_openvla

#: Two instructions of different lengths, so that batches have padding.
INSTRUCTIONS = ("go to the middle", "go")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint, not to be changed."""
    return make_tiny_openvla(tmp_path_factory.mktemp("openvla") / "tiny", seed=0)


@pytest.fixture(scope="session")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Demonstrations with three numbers in an action, the last a gripper that is closed: 8 episodes."""
    folder = tmp_path_factory.mktemp("demonstrations") / "dots"
    for instruction in INSTRUCTIONS:
        record(
            PaintedEnv(),
            folder,
            teacher=FunctionTeacher(to_the_middle),
            episodes=4,
            instruction=instruction,
            noise=ActionNoise(levels=(0.0, 0.5)),
        )
    return folder


@pytest.fixture
def demonstrations(demos: Path) -> Demonstrations:
    return read_demonstrations(demos)

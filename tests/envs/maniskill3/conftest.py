"""What the tests with the real simulator share."""

from collections.abc import Iterator

import gymnasium as gym
import pytest
import torch as th

from sb3_rpd.envs import make_maniskill3_env
from sb3_rpd.envs.maniskill3 import recipe


@pytest.fixture(scope="session")
def pick_cube() -> Iterator[gym.Env]:
    """PickCube-v1 with everything by default."""
    env = make_maniskill3_env("PickCube-v1")
    yield env
    env.close()


@pytest.fixture
def gpu_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """
    One simulator for all environments, as on a GPU, with the physics on the CPU, where one environment is all that ManiSkill3
    has.
    """
    monkeypatch.setattr(th.cuda, "is_available", lambda: True)
    monkeypatch.setitem(recipe._SIM_BACKENDS, "gpu", "physx_cpu")

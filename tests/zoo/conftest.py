"""The zoo changes gymnasium when it is imported; other tests are to have gymnasium as it is."""

from collections.abc import Iterator

import gymnasium as gym
import pytest


@pytest.fixture(scope="package", autouse=True)
def zoo() -> Iterator[None]:
    modules = [gym.wrappers, gym.wrappers.common, gym.envs.registration]
    time_limit = gym.wrappers.TimeLimit
    import rl_zoo3.utils  # noqa: F401

    yield
    for module in modules:
        module.TimeLimit = time_limit

"""The zoo changes gymnasium when it is imported; other tests are to have gymnasium as it is."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest

# Before the tests of this folder are collected, which import the zoo
_GYMNASIUMS: Any = gym.wrappers.TimeLimit

import rl_zoo3.utils  # noqa: E402, F401

_ZOOS: Any = gym.wrappers.TimeLimit


def _take(time_limit: Any) -> None:
    for module in (gym.wrappers, gym.wrappers.common, gym.envs.registration):
        module.TimeLimit = time_limit  # type: ignore[attr-defined]


_take(_GYMNASIUMS)


@pytest.fixture(scope="module", autouse=True)
def zoo() -> Iterator[None]:
    _take(_ZOOS)
    yield
    _take(_GYMNASIUMS)

"""
A pytest plugin that puts RPD in the place of PPO before Stable-Baselines3's own tests are imported.

Load it with ``-p rpd_for_ppo``. Every model that the tests build with PPO is then an RPD model, and the report
(``--suite-report``) says for each test how it ended and how many RPD models it built. With ``--suite-algorithm ppo`` PPO stays
PPO and is counted all the same: the yardstick for tests that fail in this environment whatever the algorithm.
"""

import inspect
import json
import re
import sys
from collections.abc import Generator, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_rpd import RPD
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import RawObservation


class RandomTeacher(Teacher):
    """Has an opinion on every state of every environment, and no idea."""

    def setup(self, action_space: spaces.Space) -> None:
        self.actions = deepcopy(action_space)
        self.actions.seed(0)

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        arrays = next(iter(observations.values())) if isinstance(observations, dict) else observations
        return np.stack([self.actions.sample() for _ in arrays])


class CountedPPO(PPO):
    """PPO that counts its instances."""

    built = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        type(self).built += 1
        super().__init__(*args, **kwargs)


class CountedRPD(RPD):
    """
    RPD that counts its instances, each with a teacher.

    The labels weigh so little that the tests which ask for a good return still reach it. Logs are named as PPO's.
    """

    built = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        type(self).built += 1
        super().__init__(*args, **{"teacher": RandomTeacher(), "imitation_coef": 0.01, **kwargs})

    def learn(self, *args: Any, tb_log_name: str = "PPO", **kwargs: Any) -> "CountedRPD":
        return super().learn(*args, tb_log_name=tb_log_name, **kwargs)


# The tests look for the algorithm's name in warnings and in their own parameters.
CountedPPO.__name__ = CountedRPD.__name__ = "PPO"


class SuiteReport:
    """
    Replaces PPO, drops the tests that cannot build it, and writes down what every test built.

    :param substitute: The class to test in PPO's place.
    :param path: Where to write the report.
    """

    def __init__(self, substitute: type[CountedPPO] | type[CountedRPD], path: Path) -> None:
        self.substitute = substitute
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] == "stable_baselines3" and getattr(module, "PPO", None) is PPO:
                module.PPO = self.substitute

    def cannot_build_it(self, item: pytest.Function) -> bool:
        """Whether the test's parameters are other algorithms, or neither they nor its source name PPO."""
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        algorithms = [param for param in params if isinstance(param, type) and issubclass(param, BaseAlgorithm)]
        if algorithms:
            return self.substitute not in algorithms
        return re.search(r"PPO|\bppo\b", item.name + inspect.getsource(item.function)) is None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Function]) -> None:
        dropped = [item for item in items if self.cannot_build_it(item)]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = [item for item in items if item not in dropped]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before = self.substitute.built
        result = yield
        self.tests.setdefault(item.nodeid, {"outcome": "failed"})["built"] = self.substitute.built - before
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # A test is set up, called and torn down: the worst of the three counts.
        earlier = self.tests.get(report.nodeid, {}).get("outcome", "passed")
        self.tests[report.nodeid] = {"outcome": report.outcome if earlier == "passed" else earlier}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.tests[report.nodeid] = {"outcome": "failed", "built": 0}

    def pytest_sessionfinish(self) -> None:
        self.path.write_text(json.dumps(self.tests, indent=1))


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("suite", "Stable-Baselines3's own tests")
    group.addoption("--suite-algorithm", choices=["rpd", "ppo"], default="rpd", help="what the tests build in PPO's place")
    group.addoption("--suite-report", type=Path, required=True, help="JSON file for the outcome of every test")


def pytest_configure(config: pytest.Config) -> None:
    substitute = CountedRPD if config.getoption("--suite-algorithm") == "rpd" else CountedPPO
    config.pluginmanager.register(SuiteReport(substitute, config.getoption("--suite-report")))

"""
A pytest plugin that puts RPD in the place of PPO before Stable-Baselines3's own tests are imported.

Load it with ``-p rpd_for_ppo``. Every model that the tests build with PPO is then an RPD model, and the report
(``--suite-report``) says for each test how it ended and how many RPD models it built. With ``--suite-algorithm ppo`` PPO stays
PPO and is counted all the same: the yardstick for tests that fail in this environment whatever the algorithm.
"""

import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm


def counted(algorithm: type[BaseAlgorithm]) -> type[BaseAlgorithm]:
    """
    A subclass of ``algorithm`` that counts its instances.

    It is called PPO, because the tests look for that name in warnings and in their own parameter lists.

    :param algorithm: The class that the tests shall build.
    :return: The subclass, with the class attribute ``built``.
    """

    def count(self: Any, *args: Any, **kwargs: Any) -> None:
        substitute.built += 1
        algorithm.__init__(self, *args, **kwargs)

    substitute = type("PPO", (algorithm,), {"__init__": count, "__module__": __name__, "built": 0})
    return substitute


class SuiteReport:
    """
    Replaces PPO, drops the tests of other algorithms, and writes down what every test built.

    :param algorithm: The class to test in PPO's place.
    :param path: Where to write the report.
    """

    def __init__(self, algorithm: type[BaseAlgorithm], path: Path) -> None:
        self.substitute = counted(algorithm)
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}
        for name, module in list(sys.modules.items()):
            if name.split(".")[0] == "stable_baselines3" and getattr(module, "PPO", None) is PPO:
                module.PPO = self.substitute

    def is_about_another_algorithm(self, item: pytest.Item) -> bool:
        callspec = getattr(item, "callspec", None)
        params = callspec.params.values() if callspec is not None else ()
        algorithms = [param for param in params if isinstance(param, type) and issubclass(param, BaseAlgorithm)]
        return bool(algorithms) and self.substitute not in algorithms

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        dropped = [item for item in items if self.is_about_another_algorithm(item)]
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
    algorithm: type[BaseAlgorithm] = PPO
    if config.getoption("--suite-algorithm") == "rpd":
        from sb3_rpd import RPD

        algorithm = RPD
    config.pluginmanager.register(SuiteReport(algorithm, config.getoption("--suite-report")))

"""
A pytest plugin that puts RPD in the place of PPO before Stable-Baselines3's own tests are imported, or RecurrentRPD and
MaskableRPD in the place of RecurrentPPO and MaskablePPO before sb3-contrib's are.

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
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_rpd import RPD, MaskableRPD, RecurrentRPD
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import RawObservation

#: The algorithms of each package, and what takes their place.
SUBSTITUTES: dict[str, dict[type[BaseAlgorithm], type[BaseAlgorithm]]] = {
    "stable_baselines3": {PPO: RPD},
    "sb3_contrib": {RecurrentPPO: RecurrentRPD, MaskablePPO: MaskableRPD},
}


class RandomTeacher(Teacher):
    """Has an opinion on every state of every environment, and no idea."""

    def setup(self, action_space: spaces.Space) -> None:
        self.actions = deepcopy(action_space)
        self.actions.seed(0)

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        arrays = next(iter(observations.values())) if isinstance(observations, dict) else observations
        return np.stack([self.actions.sample() for _ in arrays])


class Count:
    """How many models were built."""

    built = 0


def counted(algorithm: type[BaseAlgorithm], name: str, has_teacher: bool) -> type[BaseAlgorithm]:
    """
    :param algorithm: An algorithm.
    :param name: What it is called: the tests look for it in warnings and in their own parameters, and for logs of this name.
    :param has_teacher: Whether its models have a teacher. Labels weigh so little that the tests which ask for a good return
        still reach it, and many may be missing, since the teacher knows nothing of action masks.
    :return: The same algorithm, which counts its models.
    """

    class Counted(algorithm):  # type: ignore[misc, valid-type]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            Count.built += 1
            own = {"teacher": RandomTeacher(), "imitation_coef": 0.01, "max_missing_labels": 1.0} if has_teacher else {}
            super().__init__(*args, **own | kwargs)

        def learn(self, *args: Any, **kwargs: Any) -> "Counted":
            return super().learn(*args, **{"tb_log_name": name} | kwargs)

    Counted.__name__ = name
    return Counted


class SuiteReport:
    """
    Replaces algorithms, drops the tests that cannot build them, and writes down what every test built.

    :param package: Whose tests these are.
    :param has_teacher: Whether to test ours in the place of the package's.
    :param path: Where to write the report.
    """

    def __init__(self, package: str, has_teacher: bool, path: Path) -> None:
        self.path = path
        self.tests: dict[str, dict[str, Any]] = {}
        self.substitutes = {
            plain: counted(ours if has_teacher else plain, plain.__name__, has_teacher)
            for plain, ours in SUBSTITUTES[package].items()
        }
        for module_name, module in list(sys.modules.items()):
            if module_name.split(".")[0] == package:
                for plain, substitute in self.substitutes.items():
                    if getattr(module, plain.__name__, None) is plain:
                        setattr(module, plain.__name__, substitute)

    def cannot_build_it(self, item: pytest.Function) -> bool:
        """Whether the test's parameters are other algorithms, or neither they nor its source name PPO."""
        params = item.callspec.params.values() if hasattr(item, "callspec") else ()
        algorithms = [param for param in params if isinstance(param, type) and issubclass(param, BaseAlgorithm)]
        if algorithms:
            return not set(algorithms) & set(self.substitutes.values())
        return re.search(r"PPO|\bppo\b", item.name + inspect.getsource(item.function)) is None

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Function]) -> None:
        dropped = [item for item in items if self.cannot_build_it(item)]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = [item for item in items if item not in dropped]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        before = Count.built
        result = yield
        self.tests.setdefault(item.nodeid, {"outcome": "failed"})["built"] = Count.built - before
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
    group = parser.getgroup("suite", "the tests of Stable-Baselines3 and sb3-contrib")
    group.addoption("--suite-package", choices=SUBSTITUTES, default="stable_baselines3", help="whose tests these are")
    group.addoption("--suite-algorithm", choices=["rpd", "ppo"], default="rpd", help="what the tests build in PPO's place")
    group.addoption("--suite-report", type=Path, required=True, help="JSON file for the outcome of every test")


def pytest_configure(config: pytest.Config) -> None:
    has_teacher = config.getoption("--suite-algorithm") == "rpd"
    report = SuiteReport(config.getoption("--suite-package"), has_teacher, config.getoption("--suite-report"))
    config.pluginmanager.register(report)

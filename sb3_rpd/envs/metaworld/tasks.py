"""Meta-World's tasks and what comes with them, imported on first use."""

import warnings
from collections.abc import Mapping
from typing import Any

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.envs.choices import check_choice


def environment_class(task: str) -> Any:
    """
    :param task: A task, "drawer-open-v3".
    :return: The class of its environment, which shows the goal.
    :raises ImportError: if Meta-World is missing; says what to install.
    :raises ValueError: if there is no such task; lists them.
    """
    classes = import_optional("metaworld.env_dict", extra="metaworld").ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
    return _entry({name.removesuffix("-goal-observable"): made for name, made in classes.items()}, task)


def policy_class(task: str) -> Any:
    """
    :param task: A task, "drawer-open-v3".
    :return: The class of its scripted policy.
    :raises ImportError: if Meta-World is missing; says what to install.
    :raises ValueError: if there is no such task; lists them.
    """
    # Most policies ask for more than there is, on purpose, and report it in every step
    warnings.filterwarnings("ignore", message=r"Constant\(s\) may be too high", category=UserWarning, module="metaworld")
    return _entry(import_optional("metaworld.policies", extra="metaworld").ENV_POLICY_MAP, task)


def _entry(entries: Mapping[str, Any], task: str) -> Any:
    check_choice("task", task, sorted(entries))
    return entries[task]

"""Recognizes a teacher that was given in PPO's third place, the learning rate: RPD's own arguments are keywords."""

import inspect
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.wording import cut, function_name

#: What the parameters of a teacher function are called, and those of a schedule are not.
_TEACHERS_PARAMETERS = ("observations", "observation", "obs", "instructions")


@contextmanager
def naming_misplaced_teacher(learning_rate: Any) -> Iterator[None]:
    """
    Set a model up in this context.

    :param learning_rate: What was given as the learning rate.
    :raises TypeError: if that is a teacher, or if the model cannot be set up and that is no schedule.
    """
    if _is_teacher(learning_rate):
        raise _error(learning_rate)
    try:
        yield
    except Exception as error:
        # Only now: a schedule may count how often it is called
        if callable(learning_rate) and not _is_schedule(learning_rate):
            raise _error(learning_rate) from error
        raise


def _is_teacher(value: Any) -> bool:
    if isinstance(value, Teacher | BaseAlgorithm | str):
        return True
    if isinstance(value, type):
        return issubclass(value, Teacher)
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return False
    return not parameters.keys().isdisjoint(_TEACHERS_PARAMETERS)


def _is_schedule(function: Any) -> bool:
    try:
        rate = float(function(1.0))
    except Exception:
        return False
    return math.isfinite(rate) and rate >= 0.0


def _error(given: Any) -> TypeError:
    name = cut(repr(given)) if isinstance(given, Teacher | BaseAlgorithm | str) else function_name(given)
    return TypeError(
        f"The third argument, learning_rate, is {name}, which is no learning rate: a number, or a function of the progress "
        "remaining (from 1 to 0). A teacher goes in by its name: RPD(policy, env, teacher=...)."
    )

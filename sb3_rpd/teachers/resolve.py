"""Turn whatever a user calls a teacher (object, model, function, "package.module:factory") into a ``Teacher``."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BaseModel

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.factories import find_factory
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.wording import cut, function_name
from sb3_rpd.teachers.function import FunctionTeacher
from sb3_rpd.teachers.sb3 import SB3Teacher

_ACCEPTED = (
    "a Teacher, a Stable-Baselines3 model, a function of a batch of observations, or the name of a factory that makes one of "
    'these ("package.module:factory")'
)


def make_teacher(spec: Any) -> Teacher:
    """
    Make a teacher of what a user passes as one.

    :param spec: A ``Teacher`` (returned as it is), a Stable-Baselines3 model (``SB3Teacher``; one with normalized
        observations that has no environment any more needs ``SB3Teacher(model, vec_normalize)``), a function of a batch of
        observations (``FunctionTeacher``), or ``"package.module:factory"``: the factory is imported and called without
        arguments, and what it returns is made a teacher by the same rules. Such a name fits into a YAML file or a command
        line.
    :raises TeacherError: if a named factory cannot be found, cannot be called without arguments, or makes no teacher.
    :raises TypeError: if ``spec`` is none of these.
    """
    if isinstance(spec, Teacher):
        return spec
    if isinstance(spec, BaseAlgorithm):
        return SB3Teacher(spec)
    if isinstance(spec, str):
        made = _find_factory(spec)()
        try:
            return make_teacher(made)
        except TypeError as error:
            raise TeacherError(f"The factory {cut(repr(spec))} made no teacher. {error}") from error
    obstacle = _why_no_function(spec)
    if obstacle is None:
        return FunctionTeacher(spec)
    raise TypeError(f"A teacher is {_ACCEPTED}; {obstacle}.")


def _why_no_function(spec: Any) -> str | None:
    """Why something that is no teacher cannot be asked as a function of observations either; None if it can."""
    if isinstance(spec, Path):
        return f"this is a path: for a saved model write SB3Teacher({cut(repr(str(spec)))})"
    if isinstance(spec, type):
        return f"this is the class {spec.__name__}, not an instance of it: write {spec.__name__}(...)"
    if isinstance(spec, BaseModel):
        return f"this is the {type(spec).__name__} of a model: pass the model itself"
    owner = getattr(spec.func if isinstance(spec, partial) else spec, "__self__", None)
    if isinstance(owner, BaseAlgorithm | BaseModel):
        return (
            f"this is {function_name(spec)}, a method of a Stable-Baselines3 model: pass the model itself, or "
            "SB3Teacher(model, deterministic=False) if it is to sample"
        )
    if callable(spec):
        return None
    obstacle = f"this is {cut(repr(spec), 60)}, of type {type(spec).__name__}"
    return f"{obstacle}: let that inherit from Teacher" if hasattr(spec, "predict") else obstacle


def _find_factory(name: str) -> Callable[[], Any]:
    if name.endswith(".zip") or any(os.path.isfile(path) for path in (name, f"{name}.zip")):
        quoted = cut(repr(name))
        raise TeacherError(
            f"The teacher {quoted} is a file: for a saved model write SB3Teacher({quoted}), with its algorithm=..."
        )
    return find_factory(name, "teacher")

"""Turn whatever a user calls a teacher (object, model, function, "package.module:factory") into a ``Teacher``."""

import importlib
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.teachers.function import FunctionTeacher
from sb3_rpd.teachers.sb3 import SB3Teacher

_ACCEPTED = (
    "a Teacher, a Stable-Baselines3 model, a function of a batch of observations, or the name of a factory that makes one of "
    'these ("package.module:factory")'
)


def _call_factory(name: str) -> Any:
    module_name, colon, factory_name = name.partition(":")
    if not (module_name and colon and factory_name):
        raise TeacherError(f"The teacher {name!r} is not of the form 'package.module:factory'.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise TeacherError(f"The module of the teacher {name!r} cannot be imported: {error}.") from error
    try:
        factory = getattr(module, factory_name)
    except AttributeError as error:
        raise TeacherError(
            f"The module {module_name!r} of the teacher {name!r} has nothing called {factory_name!r}."
        ) from error
    if not callable(factory):
        raise TeacherError(f"The teacher {name!r} names a {type(factory).__name__}, which is no factory: it cannot be called.")
    return factory()


def make_teacher(spec: Any) -> Teacher:
    """
    Make a teacher of what a user passes as one.

    :param spec: A ``Teacher`` (returned as it is), a Stable-Baselines3 model (``SB3Teacher``; one with normalized
        observations that has no environment any more needs ``SB3Teacher(model, vec_normalize)``), a function of a batch of
        observations (``FunctionTeacher``), or ``"package.module:factory"``: the factory is imported and called without
        arguments, and what it returns is made a teacher by the same rules. Such a name fits into a YAML file or a command
        line.
    :raises TeacherError: if a named factory cannot be found.
    :raises TypeError: if ``spec`` is none of these.
    """
    if isinstance(spec, Teacher):
        return spec
    if isinstance(spec, BaseAlgorithm):
        return SB3Teacher(spec)
    if isinstance(spec, str):
        return make_teacher(_call_factory(spec))
    # classes and networks can be called as well, but not with a batch of observations
    if callable(spec) and not isinstance(spec, (type, BasePolicy)):
        return FunctionTeacher(spec)
    what = f"the class {spec.__name__}, not an instance of it" if isinstance(spec, type) else f"a {type(spec).__name__}"
    raise TypeError(f"A teacher is {_ACCEPTED}; this is {what}.")

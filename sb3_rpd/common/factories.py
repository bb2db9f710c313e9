"""Find what a name of the form "package.module:factory" stands for: such a name fits into a YAML file or a command line."""

import importlib
import inspect
from collections.abc import Callable
from typing import Any

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wording import cut, function_name


def find_named(name: str, what: str) -> Any:
    """
    Import something.

    :param name: "package.module:name".
    :param what: What it is, for messages.
    :return: What the module calls so.
    :raises TeacherError: if it cannot be found.
    """
    quoted = f"The {what} {cut(repr(name))}"
    module_name, colon, member = name.partition(":")
    if not (module_name and colon and member):
        raise TeacherError(f"{quoted} is not of the form 'package.module:factory'.")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        raise TeacherError(f"The module of the {what} {cut(repr(name))} cannot be imported: {cut(error)}.") from error
    try:
        return getattr(module, member)
    except AttributeError as error:
        raise TeacherError(f"{quoted} is not there: its module has nothing called {cut(repr(member))}.") from error


def find_factory(name: str, what: str) -> Callable[[], Any]:
    """
    Import a factory.

    :param name: "package.module:factory".
    :param what: What it makes, for messages.
    :return: The factory, which can be called without arguments.
    :raises TeacherError: if it cannot be found, or cannot be called without arguments.
    """
    quoted = f"The {what} {cut(repr(name))}"
    factory = find_named(name, what)
    if not callable(factory):
        raise TeacherError(
            f"{quoted} names a {type(factory).__name__}, which is no factory: it cannot be called. Name a function without "
            "arguments that returns it."
        )
    try:
        signature = inspect.signature(factory)
    except ValueError:  # some C functions have none
        return factory  # type: ignore[no-any-return]
    try:
        signature.bind()
    except TypeError as error:
        raise TeacherError(
            f"{quoted} names {function_name(factory)}, which cannot be called without arguments: {error}. Name a function "
            f"without arguments that returns the {what}. If this function is the {what} itself, name one that says "
            f"`return {cut(name.partition(':')[2], 60)}`, or pass the function, not its name."
        ) from error
    return factory  # type: ignore[no-any-return]

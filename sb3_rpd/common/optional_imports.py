"""Imports the libraries that only some teachers need, and says what to install where one is missing."""

import importlib
from types import ModuleType


def import_optional(module: str, *, extra: str) -> ModuleType:
    """
    Import a library on first use.

    :param module: The module's name.
    :param extra: The extra of this package that installs it.
    :raises ImportError: if it is missing; names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'{module} cannot be imported ({error}). Install it with `pip install "sb3_rpd[{extra}]"`.', name=error.name
        ) from error

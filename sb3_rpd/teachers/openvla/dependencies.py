"""Imports on first use of what only this teacher needs."""

from importlib import import_module
from typing import Any


def import_extra(name: str) -> Any:
    """
    Import a module of the extra ``openvla``.

    :param name: The module's full name.
    :raises ImportError: if it is not installed; names the command that installs it.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name.partition(".")[0]:
            raise  # the package is there and lacks something of its own
        raise ImportError(f'OpenVLATeacher needs {error.name}: pip install "sb3_rpd[openvla]"', name=error.name) from error

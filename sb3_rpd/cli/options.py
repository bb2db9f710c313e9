"""What several commands have in common: how they are declared, how they find what the user names, and how they speak."""

import argparse
import os
import sys
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FACTORY_HELP = '"package.module:factory", called without arguments; found from the current folder too'


def search_current_folder() -> None:
    """Let modules of the current folder be found by their names."""
    sys.path.insert(0, os.getcwd())


def example(*command_lines: str) -> str:
    """
    :param command_lines: Command lines as one may type them.
    :return: What stands below the options in a command's help.
    """
    return "\n".join(["example:", *(f"  {line}" for line in command_lines)])


def say(text: str) -> None:
    """
    Tell how far a command is, beside its result: on standard error.

    :param text: One line.
    """
    print(text, file=sys.stderr, flush=True)

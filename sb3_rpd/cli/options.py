"""What several commands have in common: how they are declared, and how they find what the user names."""

import argparse
import os
import sys
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FACTORY_HELP = '"package.module:factory", called without arguments; found from the current folder too'


def search_current_folder() -> None:
    """Let modules of the current folder be found by their names."""
    sys.path.insert(0, os.getcwd())

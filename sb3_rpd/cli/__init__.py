"""The command line: ``sb3-rpd``, or ``python -m sb3_rpd``."""

import argparse
import sys
from collections.abc import Sequence

import gymnasium as gym

from sb3_rpd import __version__
from sb3_rpd.cli import check, evaluate, export, finetune, record, serve, train
from sb3_rpd.common.errors import ExportError, TeacherError
from sb3_rpd.envs import RenderingUnavailableError

#: Each module is a command: ``add(commands)`` declares it, and sets ``run(parser, arguments)``, which returns the exit status.
COMMANDS = (train, evaluate, record, finetune, export, serve, check)

#: What is the user's to put right, and said in one sentence.
_MISTAKES = (TeacherError, ExportError, RenderingUnavailableError, gym.error.Error, ImportError, OSError, ValueError)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run one command.

    :param arguments: The command line without the program's name; None takes that of the process.
    :return: The exit status.
    """
    parser = argparse.ArgumentParser(prog="sb3-rpd", description="Refined Policy Distillation for Stable-Baselines3.")
    parser.add_argument("--version", action="version", version=f"sb3_rpd {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    parsed = parser.parse_args(arguments)
    try:
        return int(parsed.run(parser, parsed))
    except _MISTAKES as error:
        print(f"{parser.prog}: {_sentence(error)}", file=sys.stderr)
        return 1


def _sentence(error: Exception) -> str:
    """What is wrong, without the number that the operating system gives it."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.strerror}: {str(error.filename)!r}"
    return str(error)

"""What several commands have in common: how they are declared, how they find what the user names, and how they speak."""

import argparse
import os
import sys
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

ENVIRONMENT_HELP = 'a gymnasium id, a ManiSkill2 task, or "package.module:function"'
TEACHER_HELP = '"package.module:function", "scripted" (ManiSkill2\'s cube tasks), or the folder of an OpenVLA checkpoint'
STUDENT_HELP = "the folder of a training, or what the student's save() has written"
STATISTICS_HELP = "what VecNormalize.save() has written, if the student was trained with one; a training's folder has its own"
SET_HELP = "change the settings file: gamma=0.99, env_kwargs.reward=sparse, teacher=null; may be repeated"
FACTORY_HELP = '"package.module:factory", called without arguments; found from the current folder too'


class HelpFormatter(argparse.RawDescriptionHelpFormatter, argparse.ArgumentDefaultsHelpFormatter):
    """Leaves descriptions and examples as they are written, and says the default of each option that has one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        has_default = action.default is not None and action.default is not False
        return super()._get_help_string(action) if has_default else action.help


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

"""``sb3-rpd check``: asks a teacher once."""

import argparse

from sb3_rpd.cli.options import FACTORY_HELP, Commands, HelpFormatter, example, search_current_folder
from sb3_rpd.common.factories import find_factory
from sb3_rpd.evaluation import check_teacher
from sb3_rpd.teachers.resolve import make_teacher


def add(commands: Commands) -> None:
    """:param commands: Where the command is declared."""
    parser = commands.add_parser(
        "check",
        help="ask a teacher once and show what an environment offers it",
        description="Reset an environment, show what it offers a teacher, ask the teacher and check its answer.",
        epilog=example("sb3-rpd check my_module:make_teacher --env my_module:make_env"),
        formatter_class=HelpFormatter,
    )
    parser.add_argument("teacher", help=FACTORY_HELP)
    parser.add_argument("--env", required=True, help="what makes the environment, or a VecEnv; likewise")
    parser.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """
    :param parser: For complaints about the command line.
    :param arguments: The command line.
    :return: The exit status: 1 where the teacher's answer cannot be taken.
    """
    search_current_folder()
    env = find_factory(arguments.env, "environment")()
    try:
        teacher = make_teacher(arguments.teacher)
        try:
            report = check_teacher(teacher, env)
        finally:
            teacher.close()
    finally:
        env.close()
    print(report)
    return 0 if report.complaint is None else 1

"""``sb3-rpd export``: a student as a file that runs without Stable-Baselines3."""

import argparse
from pathlib import Path

from sb3_rpd.cli.options import STATISTICS_HELP, Commands, HelpFormatter, example, say
from sb3_rpd.common.student_files import load_student
from sb3_rpd.export import export_student


def add(commands: Commands) -> None:
    """:param commands: Where the command is declared."""
    parser = commands.add_parser(
        "export",
        help="write a student as an ONNX or torch.export file",
        description="Write a saved student as a file from raw observations to actions, and compare it with the student.",
        epilog=example("sb3-rpd export student.zip --vec-normalize vecnormalize.pkl --to student.onnx"),
        formatter_class=HelpFormatter,
    )
    parser.add_argument("student", type=Path, help="what the student's save() has written")
    parser.add_argument("--to", type=Path, required=True, help="where to: a file that ends in .onnx or .pt2")
    parser.add_argument("--vec-normalize", type=Path, help=STATISTICS_HELP)
    parser.add_argument("--channels-first", action="store_true", help="the environment's images have their channels first")
    parser.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """
    :param parser: For complaints about the command line.
    :param arguments: The command line.
    :return: The exit status.
    """
    say(f"Loading {arguments.student}")
    student = load_student(arguments.student)
    say("Exporting and checking, some seconds")
    print(
        export_student(
            student, arguments.to, vec_normalize=arguments.vec_normalize, channels_first=arguments.channels_first or None
        )
    )
    return 0

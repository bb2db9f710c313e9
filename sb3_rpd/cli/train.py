"""``sb3-rpd train``: trains a student in a folder, and goes on where a training was ended."""

import argparse
from pathlib import Path

from sb3_rpd.cli.options import (
    ENVIRONMENT_HELP,
    SET_HELP,
    TEACHER_HELP,
    Commands,
    HelpFormatter,
    example,
    say,
    search_current_folder,
)
from sb3_rpd.training.algorithms import ALGORITHMS
from sb3_rpd.training.checkpoints import STUDENT, last_checkpoint
from sb3_rpd.training.progress import describe
from sb3_rpd.training.run import CHECKPOINTS, SETTINGS, train
from sb3_rpd.training.settings import TrainingSettings, read_settings

_DESCRIPTION = """\
Train a student with RPD, RecurrentRPD or MaskableRPD, keep the best of its policies, and save it with the statistics of its
observations.

The settings file is YAML: arguments of the algorithm by their own names, schedules and losses by name, and beside them
algorithm, env, env_kwargs, n_envs, normalize, teacher, teacher_kwargs, timesteps, seed, policy, evaluate_every,
evaluation_episodes, checkpoint_every."""


def add(commands: Commands) -> None:
    """:param commands: Where the command is declared."""
    parser = commands.add_parser(
        "train",
        help="train a student in a folder, or go on with a training",
        description=_DESCRIPTION,
        epilog=example(
            "sb3-rpd train --env LiftCube-v0 --teacher scripted --settings lift.yaml --to runs/lift",
            "sb3-rpd train --resume runs/lift",
        ),
        formatter_class=HelpFormatter,
    )
    parser.add_argument("--settings", type=Path, help="a YAML file; the options below count more than what it says")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help=SET_HELP)
    parser.add_argument("--env", help=ENVIRONMENT_HELP)
    parser.add_argument("--teacher", help=TEACHER_HELP)
    parser.add_argument("--algorithm", choices=ALGORITHMS, help="whose student it is (default: RPD)")
    parser.add_argument("--timesteps", type=int, help="environment steps of the whole training (default: 1,000,000)")
    parser.add_argument("--seed", type=int, help="of the student and its environments (default: 0)")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=Path, metavar="FOLDER", help="where to train: a folder without a training in it")
    where.add_argument("--resume", type=Path, metavar="FOLDER", help="go on with the training in this folder")
    parser.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """
    :param parser: For complaints about the command line.
    :param arguments: The command line.
    :return: The exit status.
    """
    search_current_folder()
    folder = arguments.resume or arguments.to
    settings = _resumed(parser, arguments) if arguments.resume else _new(arguments)
    try:
        best_steps, best = train(settings, folder, say).best
    except KeyboardInterrupt:
        say(f"Stopped. The last checkpoint is {last_checkpoint(folder / CHECKPOINTS)}. Go on: sb3-rpd train --resume {folder}")
        return 130
    print(f"The best student, after {best_steps:,} steps, is {folder / STUDENT}: {describe(best)}")
    print(f"In other episodes: sb3-rpd eval --student {folder}")
    return 0


def _new(arguments: argparse.Namespace) -> TrainingSettings:
    if last_checkpoint(arguments.to / CHECKPOINTS) is not None:
        raise ValueError(
            f"{arguments.to} holds a training already: go on with --resume {arguments.to}, or name another folder."
        )
    options = {name: getattr(arguments, name) for name in ("env", "teacher", "algorithm", "timesteps", "seed")}
    return read_settings(arguments.settings, arguments.set or (), **options)


def _resumed(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> TrainingSettings:
    for name in ("settings", "set", "env", "teacher", "algorithm", "seed"):
        if getattr(arguments, name) is not None:
            parser.error(f"--{name} is what the training began with: --resume takes only --timesteps, to train longer")
    if not (arguments.resume / SETTINGS).is_file():
        raise ValueError(f"{arguments.resume} holds no training: it has no {SETTINGS}. Begin one with --to.")
    return read_settings(arguments.resume / SETTINGS, timesteps=arguments.timesteps)

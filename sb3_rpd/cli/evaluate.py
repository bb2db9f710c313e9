"""``sb3-rpd eval``: how good a teacher or a student is by itself."""

import argparse
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from sb3_rpd.cli.options import (
    ENVIRONMENT_HELP,
    SET_HELP,
    STATISTICS_HELP,
    STUDENT_HELP,
    TEACHER_HELP,
    Commands,
    HelpFormatter,
    example,
    say,
    search_current_folder,
)
from sb3_rpd.cli.progress import Progress
from sb3_rpd.evaluation import Episode, Student, evaluate_teacher
from sb3_rpd.evaluation.film import film_episode, write_strip
from sb3_rpd.training.environments import make_environment
from sb3_rpd.training.run import SETTINGS
from sb3_rpd.training.settings import TrainingSettings, read_settings
from sb3_rpd.training.students import find_student
from sb3_rpd.training.teachers import NamedTeacher, find_teacher


def add(commands: Commands) -> None:
    """:param commands: Where the command is declared."""
    parser = commands.add_parser(
        "eval",
        help="count the successes of a teacher or a student",
        description="Let a teacher or a student act alone, and print successes, returns and lengths of its episodes.",
        epilog=example(
            "sb3-rpd eval --student runs/lift --frames strip.png",
            "sb3-rpd eval --teacher scripted --env LiftCube-v0",
        ),
        formatter_class=HelpFormatter,
    )
    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--teacher", help=TEACHER_HELP)
    who.add_argument("--student", type=Path, help=STUDENT_HELP)
    parser.add_argument("--env", help=f"{ENVIRONMENT_HELP}; a training's folder knows its own")
    parser.add_argument("--settings", type=Path, help="a YAML file as for `sb3-rpd train`, with env_kwargs and teacher_kwargs")
    parser.add_argument("--set", action="append", metavar="NAME=VALUE", help=SET_HELP)
    parser.add_argument("--vec-normalize", type=Path, help=STATISTICS_HELP)
    parser.add_argument("--episodes", type=int, default=100, help="how many")
    parser.add_argument("--seed", type=int, default=1_000_000, help="of the episodes; trainings have others")
    parser.add_argument("--frames", type=Path, help="write frames of an episode side by side, as a .png for instance")
    parser.set_defaults(run=run)


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> int:
    """
    :param parser: For complaints about the command line.
    :param arguments: The command line.
    :return: The exit status.
    """
    search_current_folder()
    settings = _settings(arguments)
    named = NamedTeacher(None) if arguments.student else find_teacher(settings)
    with nullcontext() if named.teacher is None else closing(named.teacher):
        who = named.teacher or _load_student(arguments)
        with closing(_make_environment(settings, named, min(settings.n_envs, arguments.episodes))) as env:
            episodes = _Episodes(arguments.episodes)
            evaluation = evaluate_teacher(
                who, env, arguments.episodes, seed=arguments.seed, needs_success=False, on_episode=episodes.add
            )
        print(f"who       {who!r} in {settings.env}")
        print(f"episodes  {evaluation.episodes}, seed {arguments.seed}")
        if evaluation.successes is None:
            print('success   unknown: the environment does not say info["is_success"]')
        else:
            low, high = evaluation.success_interval
            print(f"success   {evaluation.success_rate:.1%} (95% interval {low:.1%} to {high:.1%})")
        print(f"return    mean {evaluation.mean_return:.2f}, standard deviation {np.std(episodes.returns):.2f}")
        print(f"length    mean {evaluation.mean_length:.1f} steps")
        if arguments.frames is not None:
            named = named._replace(needs_frames=True)
            with closing(_make_environment(settings, named, 1)) as env:
                write_strip(film_episode(who, env, seed=arguments.seed), arguments.frames)
            print(f"frames    {arguments.frames}")
    return 0


def _load_student(arguments: argparse.Namespace) -> Student:
    say(f"Loading {arguments.student}")
    return find_student(arguments.student, arguments.vec_normalize)


class _Episodes:
    """
    Shows episodes as they end.

    :param total: How many there will be.
    """

    def __init__(self, total: int) -> None:
        self.returns: list[float] = []
        self._successes = 0
        self._progress = Progress(total, "episodes")

    def add(self, episode: Episode) -> None:
        self.returns.append(episode.total_reward)
        self._successes += bool(episode.is_success)
        self._progress.show(len(self.returns), f"{self._successes} successes, mean return {np.mean(self.returns):.1f}")


def _settings(arguments: argparse.Namespace) -> TrainingSettings:
    path = arguments.settings
    if path is None and arguments.student is not None and (arguments.student / SETTINGS).is_file():
        path = arguments.student / SETTINGS
    return read_settings(path, arguments.set or (), env=arguments.env, teacher=arguments.teacher)


def _make_environment(settings: TrainingSettings, named: NamedTeacher, n_envs: int) -> Any:
    return make_environment(
        settings.env, n_envs, None, env_kwargs=settings.env_kwargs, wrap=named.wrap, needs_frames=named.needs_frames
    )

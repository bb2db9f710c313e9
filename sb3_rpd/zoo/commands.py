"""``python -m sb3_rpd.zoo``: the zoo's ``train`` and ``enjoy``, which know RPD."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.zoo.algorithm import HyperparametersError, ZooRPD
from sb3_rpd.zoo.search_space import rpd_converter, rpd_sampler
from sb3_rpd.zoo.tasks import register_maniskill2

#: The zoo's name of the algorithm.
ALGORITHM = "rpd"
#: The zoo's hyperparameters for the tasks of the documentation.
HYPERPARAMETERS = Path(__file__).with_name("hyperparams") / "rpd.yml"

_PROGRAM = "python -m sb3_rpd.zoo"


def register() -> None:
    """
    Make the zoo know RPD, its search space, and ManiSkill2's tasks, and evaluate in environments like those of training.

    :raises ImportError: if the zoo is not installed.
    """
    zoo = import_optional("rl_zoo3.utils", extra="zoo")
    training: Any = import_optional("rl_zoo3.train", extra="zoo")
    optimization = import_optional("rl_zoo3.hyperparams_opt", extra="zoo")
    manager = import_optional("rl_zoo3.exp_manager", extra="zoo").ExperimentManager
    zoo.ALGOS[ALGORITHM] = ZooRPD
    optimization.HYPERPARAMS_SAMPLER[ALGORITHM] = rpd_sampler(optimization.HYPERPARAMS_SAMPLER["ppo"])
    optimization.HYPERPARAMS_CONVERTER[ALGORITHM] = rpd_converter(optimization.HYPERPARAMS_CONVERTER["ppo"])
    training.ExperimentManager = _evaluating_alike(manager)
    register_maniskill2()


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run a program of the zoo.

    :param arguments: The command line without the program's name; None takes that of the process.
    :return: The exit status.
    """
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="RL Baselines3 Zoo with RPD among its algorithms. Without --conf-file, RPD takes the hyperparameters that "
        "come with this package.",
        epilog=f"example: {_PROGRAM} train --algo {ALGORITHM} --env CartPole-v1",
    )
    parser.add_argument("program", choices=("train", "enjoy"), help="train a student, or watch one")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="the zoo's own: see train --help, enjoy --help")
    parsed = parser.parse_args(arguments)
    options = parsed.options
    if parsed.program == "train" and _needs_hyperparameters(options):
        options = [*options, "--conf-file", str(HYPERPARAMETERS)]
    try:
        register()
        program = getattr(import_optional(f"rl_zoo3.{parsed.program}", extra="zoo"), parsed.program)
        with _command_line([f"{_PROGRAM} {parsed.program}", *options]):
            program()
    except (TeacherError, HyperparametersError, ImportError) as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return 1
    return 0


def _needs_hyperparameters(options: Sequence[str]) -> bool:
    """The zoo looks for a file named after the algorithm among its own, and has none for RPD."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--algo")
    parser.add_argument("-conf", "--conf-file")
    parsed, _ = parser.parse_known_args(options)
    return parsed.algo == ALGORITHM and parsed.conf_file is None


def _evaluating_alike(manager: type[Any]) -> type[Any]:
    """The zoo's manager gives ``env_kwargs`` of a file to the environments of training alone, and evaluates in others."""

    def create_envs(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.args.eval_env_kwargs is None:
            self.eval_env_kwargs = self.env_kwargs
        return manager.create_envs(self, *args, **kwargs)

    return type(manager.__name__, (manager,), {"create_envs": create_envs})


@contextmanager
def _command_line(words: list[str]) -> Iterator[None]:
    """The zoo's programs read that of the process."""
    kept = sys.argv
    sys.argv = words
    try:
        yield
    finally:
        sys.argv = kept

"""``python -m sb3_rpd.zoo``: the zoo's ``train`` and ``enjoy``, which know RPD and RecurrentRPD."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.zoo.algorithm import HyperparametersError, ZooRPD
from sb3_rpd.zoo.search_space import rpd_converter, rpd_sampler
from sb3_rpd.zoo.tasks import register_maniskill2

#: The algorithms by the names that they have in the zoo, and those whose search spaces they extend.
ALGORITHMS = {"rpd": "ppo", "rpd_lstm": "ppo_lstm"}
#: The hyperparameters that come with this package, a file for each algorithm.
HYPERPARAMETERS = {name: Path(__file__).with_name("hyperparams") / f"{name}.yml" for name in ALGORITHMS}

_PROGRAM = "python -m sb3_rpd.zoo"


def register() -> None:
    """
    Make the zoo know RPD and RecurrentRPD, their search spaces, and the tasks whose hyperparameters come with this package,
    and evaluate in environments like those of training.

    :raises ImportError: if the zoo is not installed.
    """
    zoo = import_optional("rl_zoo3.utils", extra="zoo")
    training: Any = import_optional("rl_zoo3.train", extra="zoo")
    optimization = import_optional("rl_zoo3.hyperparams_opt", extra="zoo")
    manager = import_optional("rl_zoo3.exp_manager", extra="zoo").ExperimentManager
    # not before it is known that the zoo is there, which brings sb3-contrib
    zoo.ALGOS.update(rpd=ZooRPD, rpd_lstm=import_module("sb3_rpd.zoo.recurrent").ZooRecurrentRPD)
    samplers, converters = optimization.HYPERPARAMS_SAMPLER, optimization.HYPERPARAMS_CONVERTER
    for name, extended in ALGORITHMS.items():
        samplers[name] = rpd_sampler(samplers[extended])
        converters[name] = rpd_converter(converters[extended])
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
        description="RL Baselines3 Zoo with rpd and rpd_lstm among its algorithms. Without --conf-file, these take the "
        "hyperparameters that come with this package.",
        epilog=f"example: {_PROGRAM} train --algo rpd --env CartPole-v1",
    )
    parser.add_argument("program", choices=("train", "enjoy"), help="train a student, or watch one")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="the zoo's own: see train --help, enjoy --help")
    parsed = parser.parse_args(arguments)
    options = parsed.options
    if parsed.program == "train":
        options = [*options, *_hyperparameters_for(options)]
    try:
        register()
        program = getattr(import_optional(f"rl_zoo3.{parsed.program}", extra="zoo"), parsed.program)
        with _command_line([f"{_PROGRAM} {parsed.program}", *options]):
            program()
    except (TeacherError, HyperparametersError, ImportError) as error:
        print(f"{_PROGRAM}: {error}", file=sys.stderr)
        return 1
    return 0


def _hyperparameters_for(options: Sequence[str]) -> list[str]:
    """The zoo looks for a file named after the algorithm among its own, and has none for these."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--algo")
    parser.add_argument("-conf", "--conf-file")
    parsed, _ = parser.parse_known_args(options)
    is_missing = parsed.algo in HYPERPARAMETERS and parsed.conf_file is None
    return ["--conf-file", str(HYPERPARAMETERS[parsed.algo])] if is_missing else []


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

"""RPD and its kind as the zoo makes them: of arguments that a YAML file can hold."""

import io
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch as th
from stable_baselines3.common.type_aliases import GymEnv

from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.rpd import RPD
from sb3_rpd.rpd.imitation_training import ImitationTraining

SelfMadeOfNames = TypeVar("SelfMadeOfNames", bound="MadeOfNames")


class HyperparametersError(ValueError):
    """Hyperparameters that an algorithm cannot be made of."""


class MadeOfNames(ImitationTraining):
    """
    Goes before an algorithm in the bases of a class: makes it of names where a YAML file has no objects: schedules
    ("lin_5.0"), gates, losses and classes, as ``read_named_values`` takes them. They are read for each model anew: a gate has
    a state, and a study makes many models.

    :param arguments: Arguments of the algorithm by their names.
    :raises HyperparametersError: if it cannot be made of them.
    """

    def __init__(self, **arguments: Any) -> None:
        with _naming_hyperparameters(type(self)):
            super().__init__(**read_named_values(arguments))

    @classmethod
    def load(
        cls: type[SelfMadeOfNames],
        path: str | pathlib.Path | io.BufferedIOBase,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfMadeOfNames:
        """
        Load a student to watch it or to train on.

        :param path: See PPO.
        :param env: See PPO.
        :param device: See PPO.
        :param custom_objects: See PPO.
        :param print_system_info: See PPO.
        :param force_reset: See PPO.
        :param kwargs: Arguments of the algorithm by their names, in place of those that the student was saved with.
        :return: The model.
        :raises HyperparametersError: if they cannot be read.
        """
        with _naming_hyperparameters(cls):
            named = read_named_values(kwargs)
        return super().load(path, env, device, custom_objects, print_system_info, force_reset, **named)


class ZooRPD(MadeOfNames, RPD):
    """``RPD`` for the zoo."""


@contextmanager
def _naming_hyperparameters(made: type[MadeOfNames]) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        name = made.__name__.removeprefix("Zoo")
        raise HyperparametersError(f"{name} cannot be made of these hyperparameters: {error}") from error

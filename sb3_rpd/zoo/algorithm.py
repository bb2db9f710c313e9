"""RPD as the zoo makes it: of arguments that a YAML file can hold."""

import io
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch as th
from stable_baselines3.common.type_aliases import GymEnv

from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.rpd import RPD

SelfZooRPD = TypeVar("SelfZooRPD", bound="ZooRPD")


class HyperparametersError(ValueError):
    """Hyperparameters that RPD cannot be made of."""


class ZooRPD(RPD):
    """
    RPD, made of names where a YAML file has no objects: schedules ("lin_5.0"), gates, losses and classes, as
    ``read_named_values`` takes them. They are read for each model anew: a gate has a state, and a study makes many models.

    :param arguments: Arguments of RPD by their names.
    :raises HyperparametersError: if RPD cannot be made of them.
    """

    def __init__(self, **arguments: Any) -> None:
        with _naming_hyperparameters():
            super().__init__(**read_named_values(arguments))

    @classmethod
    def load(
        cls: type[SelfZooRPD],
        path: str | pathlib.Path | io.BufferedIOBase,
        env: GymEnv | None = None,
        device: th.device | str = "auto",
        custom_objects: dict[str, Any] | None = None,
        print_system_info: bool = False,
        force_reset: bool = True,
        **kwargs: Any,
    ) -> SelfZooRPD:
        """
        Load a student to watch it or to train on.

        :param path: See RPD.
        :param env: See RPD.
        :param device: See RPD.
        :param custom_objects: See RPD.
        :param print_system_info: See RPD.
        :param force_reset: See RPD.
        :param kwargs: Arguments of RPD by their names, in place of those that the student was saved with.
        :return: The model.
        :raises HyperparametersError: if they cannot be read.
        """
        with _naming_hyperparameters():
            named = read_named_values(kwargs)
        return super().load(path, env, device, custom_objects, print_system_info, force_reset, **named)


@contextmanager
def _naming_hyperparameters() -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        raise HyperparametersError(f"RPD cannot be made of these hyperparameters: {error}") from error

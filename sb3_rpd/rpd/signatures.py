"""What a constructor that passes its arguments on takes, for ``help()`` and the documentation."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from sb3_rpd.rpd.imitation_training import ImitationTraining

Constructor = TypeVar("Constructor", bound=Callable[..., None])


def with_arguments_of(algorithm: type[OnPolicyAlgorithm]) -> Callable[[Constructor], Constructor]:
    """
    Decorates the constructor of an algorithm with a teacher that is based on another algorithm.

    :param algorithm: That algorithm, whose arguments come first. After them are the keyword-only ones of ``RPD``.
    :return: What gives a constructor its signature.
    """
    of_algorithm = inspect.signature(algorithm.__init__)
    parameters = list(of_algorithm.parameters.values())
    for parameter in inspect.signature(ImitationTraining.__init__).parameters.values():
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and parameter.name not in of_algorithm.parameters:
            parameters.append(parameter)

    def decorate(constructor: Constructor) -> Constructor:
        as_any: Any = constructor
        as_any.__signature__ = of_algorithm.replace(parameters=parameters)
        return constructor

    return decorate

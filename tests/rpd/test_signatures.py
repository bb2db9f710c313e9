"""The signature of a constructor that passes its arguments on: the base's arguments, then the keyword-only ones of RPD."""

import inspect
from typing import Any

from stable_baselines3 import A2C, PPO

from sb3_rpd import RPD
from sb3_rpd.rpd.signatures import with_arguments_of


def test_the_arguments_of_the_base_come_first_and_none_twice() -> None:
    class Based(PPO):
        # RPD has an argument of this name, too
        def __init__(self, policy: Any, *, fast: int = 7) -> None: ...

    @with_arguments_of(Based)
    def construct(*args: Any, **kwargs: Any) -> None:
        """Its own text."""

    parameters = inspect.signature(construct).parameters
    assert [*parameters][:3] == ["self", "policy", "fast"]
    assert parameters["fast"].default == 7
    own = [name for name, one in inspect.signature(RPD).parameters.items() if one.kind is inspect.Parameter.KEYWORD_ONLY]
    assert sorted(parameters) == sorted({"self", "policy", "_init_setup_model", *own})
    assert construct.__doc__ == "Its own text."


def test_another_algorithm_gives_its_own_arguments() -> None:
    @with_arguments_of(A2C)
    def construct(*args: Any, **kwargs: Any) -> None: ...

    parameters = [*inspect.signature(construct).parameters]
    of_a2c = [*inspect.signature(A2C.__init__).parameters]
    assert parameters[: len(of_a2c)] == of_a2c
    assert "teacher" in parameters[len(of_a2c) :]

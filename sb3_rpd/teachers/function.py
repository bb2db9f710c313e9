"""A teacher that is a plain function: a scripted controller, a model of one's own, a closure."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import cut, function_name
from sb3_rpd.teachers.units import ConvertActions, make_conversion


def _takes_instructions(function: Callable[..., Any]) -> bool:
    """
    Whether a function has a parameter of the name ``instructions``.

    :param function: The function; one whose signature Python cannot tell (some C functions) counts as having none.
    :raises TypeError: if the function cannot be called with a batch of observations (and its instructions).
    """
    try:
        signature = inspect.signature(function)
    except ValueError:
        return False
    parameter = signature.parameters.get("instructions")
    takes = parameter is not None and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    try:
        signature.bind(None, **({"instructions": None} if takes else {}))
    except TypeError as error:
        raise TypeError(
            "A teacher function is called as f(observations) or f(observations, instructions=...), which "
            f"{function_name(function)} with the signature {cut(signature)} does not allow: {error}. "
            "Fix its other arguments with functools.partial."
        ) from error
    return takes


class FunctionTeacher(Teacher):
    """
    Ask a function.

    :param function: Called with a batch of observations as ``Teacher.predict`` describes it, and with the keyword
        argument ``instructions`` if it has a parameter of that name. It returns what ``Teacher.predict`` returns.
    :param gives_distribution: Whether the function returns a ``TeacherOutput`` with ``std`` or ``logits``.
    :param convert_actions: From the function's units to the environment's: a ``ConvertActions``.
    :raises TypeError: if ``function`` cannot be called that way.
    :raises ValueError: if ``convert_actions`` does not keep the distribution.
    """

    def __init__(
        self,
        function: Callable[..., np.ndarray | TeacherOutput],
        gives_distribution: bool = False,
        *,
        convert_actions: ConvertActions = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"A FunctionTeacher needs something that can be called, not {cut(repr(function))}.")
        self.function = function
        self.gives_distribution = gives_distribution
        self.convert_actions = make_conversion(convert_actions, gives_distribution=gives_distribution)
        self._takes_instructions = _takes_instructions(function)

    def __repr__(self) -> str:
        return f"FunctionTeacher({function_name(self.function)})"

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> TeacherOutput:
        told = {"instructions": instructions} if self._takes_instructions else {}
        return self.convert_actions.output(TeacherOutput.of(self.function(observations, **told)))

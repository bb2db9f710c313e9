"""
Values of arguments as a settings file can name them: schedules ("lin_5.0"), and objects by the name of their class
(``{CosineCoef: {start: 5.0, timesteps: 40000}}``).
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from stable_baselines3.common.utils import LinearSchedule

from sb3_rpd.common.factories import find_named
from sb3_rpd.common.gates import QDaggerGate, RewardTrendGate, SuccessGate
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.loss_names import LOSS_CLASSES
from sb3_rpd.common.schedules import ConstantCoef, CosineCoef, LinearCoef
from sb3_rpd.common.wording import cut, shortened

_COEFS = (ConstantCoef, LinearCoef, CosineCoef, SuccessGate, QDaggerGate, RewardTrendGate)

_SCHEDULE = re.compile(r"(lin|cos)_([0-9.]+(?:[eE][+-]?[0-9]+)?)")


def read_named_values(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """
    Turn the names in the arguments of an algorithm into what they stand for.

    ``imitation_coef``
        a number; "lin_5.0" or "cos_5.0", which go from 5 to 0 over the training; or a schedule or gate by the name of its
        class. ``coef`` within it is read likewise.
    ``learning_rate``, ``clip_range``, ``clip_range_vf``
        a number, or "lin_3e-4".
    ``imitation_loss``, ``label_debiasing``, ``label_memory``
        a name that RPD takes itself, or an object by the name of its class.
    ``policy_kwargs``, ``rollout_buffer_class``
        "package.module:name" is what is called so, as in ``activation_fn: torch.nn:ReLU``.

    :param arguments: Keyword arguments as a file has them.
    :return: Keyword arguments as a constructor takes them. All others are as they were.
    :raises ValueError: if a name is unknown, or what it names does not take its own arguments.
    """
    return {name: _READERS[name](name, value) if name in _READERS else value for name, value in arguments.items()}


def _read_coef(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        coef = _build(name, value, _COEFS, nested="coef")
    elif isinstance(value, str):
        kind, number = _read_schedule_name(name, value, ("lin", "cos"))
        coef = LinearCoef(number) if kind == "lin" else CosineCoef(number)
    else:
        coef = value
    return coef


def _read_schedule(name: str, value: Any) -> Any:
    return LinearSchedule(_read_schedule_name(name, value, ("lin",))[1], 0.0, 1.0) if isinstance(value, str) else value


def _read_schedule_name(name: str, value: str, kinds: tuple[str, ...]) -> tuple[str, float]:
    match = _SCHEDULE.fullmatch(value)
    if match is None or match[1] not in kinds:
        examples = " or ".join(f'"{kind}_0.5"' for kind in kinds)
        raise ValueError(
            f"{name} is a number or a schedule such as {examples}, which ends at 0; {cut(repr(value))} is neither."
        )
    return match[1], float(match[2])


def _reader_of(*classes: type) -> Callable[[str, Any], Any]:
    return lambda name, value: _build(name, value, classes) if isinstance(value, Mapping) else value


def _read_import(name: str, value: Any) -> Any:
    return find_named(value, name) if isinstance(value, str) and ":" in value else value


def _read_imports(name: str, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {key: _read_imports(key, one) if isinstance(one, Mapping) else _read_import(key, one) for key, one in value.items()}


def _build(name: str, value: Mapping[str, Any], classes: tuple[type, ...], nested: str | None = None) -> Any:
    """An object of one of the classes, from ``{its name: its arguments}``."""
    by_name = {one.__name__: one for one in classes}
    made, arguments = next(iter(value.items()), (None, None))
    if len(value) != 1 or made not in by_name or not isinstance(arguments, Mapping | None):
        raise ValueError(
            f"{name} is written as {{Name: {{argument: value}}}}, with one of the names {shortened(by_name, limit=9)}; "
            f"this is {cut(repr(dict(value)))}."
        )
    given = dict(arguments or {})
    if nested is not None and nested in given:
        given[nested] = _read_coef(nested, given[nested])
    try:
        return by_name[made](**given)
    except TypeError as error:
        raise ValueError(f"{name} cannot be made: {cut(error)}.") from error


_READERS: Mapping[str, Callable[[str, Any], Any]] = {
    "imitation_coef": _read_coef,
    "learning_rate": _read_schedule,
    "clip_range": _read_schedule,
    "clip_range_vf": _read_schedule,
    "imitation_loss": _reader_of(*LOSS_CLASSES),
    "label_debiasing": _reader_of(LabelDebiasing),
    "label_memory": _reader_of(LabelMemory),
    "policy_kwargs": _read_imports,
    "rollout_buffer_class": _read_import,
}

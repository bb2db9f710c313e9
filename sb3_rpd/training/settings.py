"""The settings of a training, as a YAML file has them."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.common.wording import cut
from sb3_rpd.training.algorithms import arguments_of, find_algorithm

#: A number that YAML 1.1 takes for a text, since it has no point.
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?[eE][+-]?[0-9]+")


@dataclass(frozen=True)
class TrainingSettings:
    """
    What is trained, on what, and for how long.

    :param env: A gymnasium id, a ManiSkill2 task or "package.module:function".
    :param env_kwargs: What goes to ``gymnasium.make`` or ``make_maniskill2_vec_env``.
    :param n_envs: How many environments train side by side.
    :param normalize: Whether to put a ``VecNormalize`` around them; or its arguments.
    :param teacher: "package.module:function", "scripted", or the folder of an OpenVLA checkpoint; None where a controller in
        the environment gives the labels.
    :param teacher_kwargs: What goes to ``OpenVLATeacher``.
    :param algorithm: One of ``ALGORITHMS``.
    :param timesteps: For how many environment steps to train.
    :param seed: Of the student, and of the first environment; each further environment's is higher by one.
    :param policy: The class of policy; "auto" is "CnnPolicy" for images, "MultiInputPolicy" for dicts, otherwise "MlpPolicy";
        for RecurrentRPD those with an LSTM.
    :param evaluate_every: Environment steps between two evaluations of the student, of which the best is kept; None for a
        twentieth of the training.
    :param evaluation_episodes: Episodes of each.
    :param checkpoint_every: Environment steps between two checkpoints.
    :param rpd: Arguments of the algorithm, as ``read_named_values`` takes them.
    """

    env: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 8
    normalize: bool | dict[str, Any] = False
    teacher: str | None = None
    teacher_kwargs: dict[str, Any] = field(default_factory=dict)
    algorithm: str = "RPD"
    timesteps: int = 1_000_000
    seed: int = 0
    policy: str = "auto"
    evaluate_every: int | None = None
    evaluation_episodes: int = 20
    checkpoint_every: int = 20_000
    rpd: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("n_envs", "timesteps", "evaluation_episodes", "checkpoint_every", "evaluate_every"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is a whole number, at least 1, not {cut(repr(value))}.")

    def changed(self, **options: Any) -> "TrainingSettings":
        """
        :param options: Settings by name; None leaves one as it is.
        :return: These settings with those.
        """
        return replace(self, **{name: value for name, value in options.items() if value is not None})

    def save(self, path: Path) -> None:
        """
        :param path: Where to write the settings as a file that ``read_settings`` reads.
        """
        yaml = import_optional("yaml", extra="train")
        settings = {name: value for name, value in asdict(self).items() if value not in (None, {})}
        settings |= settings.pop("rpd", {})
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")


def read_settings(path: Path | None, changes: Sequence[str] = (), **options: Any) -> TrainingSettings:
    """
    Read a settings file. Beside the settings of a training it has the arguments of the algorithm, by their own names.

    :param path: The file; None for the options alone.
    :param changes: Changes to what the file says, as ``change`` takes them.
    :param options: What counts in place of both; None for nothing.
    :return: The settings.
    :raises ValueError: if the file is no such, or has a name that is neither a setting nor an argument.
    """
    written: dict[str, Any] = {} if path is None else _read_yaml(path)
    for one in changes:
        change(written, one)
    written |= {name: value for name, value in options.items() if value is not None}
    own = {one.name for one in fields(TrainingSettings)} - {"rpd"}
    # a setting that is null is the default
    written = {name: value for name, value in written.items() if value is not None or name not in own}
    algorithm = str(written.get("algorithm", TrainingSettings.algorithm))
    known = [*own, *arguments_of(find_algorithm(algorithm))]
    for name in written:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{path} has {cut(repr(name))}, which is neither a setting nor an argument of {algorithm}.{hint}")
    if "env" not in written:
        raise ValueError("Say which environment to train on: --env, or `env:` in the settings.")
    rpd = {name: value for name, value in written.items() if name not in own}
    return TrainingSettings(**{name: value for name, value in written.items() if name in own}, rpd=rpd)


def change(written: dict[str, Any], setting: str) -> None:
    """
    Change what a settings file says.

    :param written: Names with values, which are changed.
    :param setting: "name=value", the value as YAML: "gamma=0.99", "teacher=null". A name within a setting comes after a
        point: "env_kwargs.reward=sparse".
    :raises ValueError: if it is no such text, or the setting has no names within it.
    """
    path, equals, value = setting.partition("=")
    if not (equals and path):
        raise ValueError(f"A change to the settings is written as name=value, and {cut(repr(setting), 60)} is not.")
    *outer, name = path.split(".")
    place: Any = written
    for part in outer:
        place = place.setdefault(part, {})
        if not isinstance(place, dict):
            raise ValueError(f"{setting} cannot be set: {part} is {cut(repr(place), 60)}, which has no names within it.")
    yaml = import_optional("yaml", extra="train")
    try:
        place[name] = _with_numbers(yaml.safe_load(value))
    except yaml.YAMLError as error:
        raise ValueError(f"{cut(repr(value), 60)}, the value of {path}, is no YAML: {cut(error)}.") from error


def _read_yaml(path: Path) -> dict[str, Any]:
    yaml = import_optional("yaml", extra="train")
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML file: {cut(error)}.") from error
    if not isinstance(written, dict):
        raise ValueError(f"{path} holds no settings: it is read as {cut(repr(written), 60)}, not as names with values.")
    return {name: _with_numbers(value) for name, value in written.items()}


def _with_numbers(value: Any) -> Any:
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        return float(value)
    if isinstance(value, Mapping):
        return {name: _with_numbers(one) for name, one in value.items()}
    return value

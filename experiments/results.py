"""The results on disk: one small JSON file for each run, complete or not there at all."""

import json
import os
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from experiments.methods import METHODS
from experiments.runs import Run
from experiments.train import settings_of
from experiments.worlds import WORLDS

#: Where they are kept, and committed.
RESULTS = Path(__file__).parent / "results"


def path_of(run: Run, folder: Path = RESULTS) -> Path:
    """
    :param run: The run.
    :param folder: Where the results are.
    :return: The file of its result, whether it is there or not.
    """
    parts = [run.task, run.error or "no teacher", run.reward, f"gamma {run.gamma}"]
    parts += [f"every {run.label_every}"] if run.label_every > 1 else []
    name = "_".join(part.replace(" ", "-") for part in parts)
    return folder / run.suite / name / run.method / f"{run.steps}-steps_seed-{run.seed}.json"


def write(run: Run, result: dict[str, Any], folder: Path = RESULTS) -> None:
    """
    Write a result so that a reader never finds half of it, whenever this process is killed.

    :param run: The run.
    :param result: What came of it.
    :param folder: Where the results are.
    """
    path = path_of(run, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(f".{os.getpid()}.unfinished")
    content = {"run": asdict(run), "settings": settings_of(run), **result}
    with unfinished.open("w") as file:
        file.write(as_text(content))
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def find(run: Run, folder: Path = RESULTS) -> dict[str, Any] | None:
    """
    :param run: The run.
    :param folder: Where the results are.
    :return: Its result; None if there is none, or one that was made with other settings than the present ones.
    """
    path = path_of(run, folder)
    if not path.is_file():
        return None
    content: dict[str, Any] = json.loads(path.read_text())
    return content if content["settings"] == _settings_as_in(content["settings"], run) else None


def _settings_as_in(recorded: dict[str, Any], run: Run) -> dict[str, Any]:
    """:return: The present settings of a run, described as in a record that may be older than some fields of its arguments."""
    settings: dict[str, Any] = json.loads(json.dumps(settings_of(run)))
    values = METHODS[run.method].arguments(WORLDS[run.suite])
    for name in values.keys() & recorded.get("arguments", {}).keys():
        settings["arguments"][name] = _as_in(recorded["arguments"][name], values[name])
    return settings


def _as_in(recorded: str, value: Any) -> str:
    """:return: What describes a value, without fields that it did not have when recorded and that have their defaults."""
    text = repr(value)
    for field in fields(value) if is_dataclass(value) else ():
        if f"{field.name}=" not in recorded and getattr(value, field.name) == field.default:
            text = text.replace(f", {field.name}={field.default!r}", "")
    return text


def is_done(run: Run, folder: Path = RESULTS) -> bool:
    """
    :param run: The run.
    :param folder: Where the results are.
    :return: Whether it has a result, with the teacher that is there now if that is read from a file. Where there is no such
        file, any teacher's result counts: nothing could be run in its place.
    """
    result = find(run, folder)
    identify = WORLDS[run.suite].identify_teacher
    if result is None or identify is None or run.error is None:
        return result is not None
    try:
        return bool(result["teacher"] == identify(run.error))
    except FileNotFoundError:
        return True


def clear_unfinished(suite: str, folder: Path = RESULTS) -> None:
    """
    Remove what killed processes left behind.

    :param suite: Whose runs.
    :param folder: Where the results are.
    """
    for path in (folder / suite).rglob("*.unfinished"):
        path.unlink()


def as_text(content: dict[str, Any]) -> str:
    """:return: JSON with one line for each entry, long lists included."""
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"

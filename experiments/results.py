"""The results on disk: one small JSON file for each run, complete or not there at all."""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from experiments.runs import Run
from experiments.train import settings_of

#: Where they are kept, and committed.
RESULTS = Path(__file__).parent / "results"


class Finished(NamedTuple):
    """
    :param run: What was done.
    :param result: What came of it: see ``experiments.train.train``.
    """

    run: Run
    result: dict[str, Any]


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
    return content if content["settings"] == json.loads(json.dumps(settings_of(run))) else None


def finished(runs: list[Run], folder: Path = RESULTS) -> Iterator[Finished]:
    """
    :param runs: The runs that are wanted.
    :param folder: Where the results are.
    :return: Those of them that have a result.
    """
    for run in runs:
        result = find(run, folder)
        if result is not None:
            yield Finished(run, result)


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

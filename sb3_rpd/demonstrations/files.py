"""Files that are there whole or not at all, and a folder that one process writes to."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sb3_rpd.demonstrations.errors import DemonstrationsError

_LOCK = ".recording.lock"


def write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """
    Write a file so that whoever looks, and a process that is killed meanwhile, finds the old one or the new one.

    :param path: The file. Its folder is made.
    :param write: Writes to the path that it gets.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # hidden, and without the suffix that readers look for
    unfinished = path.with_name(f".{path.name}.unfinished")
    write(unfinished)
    with unfinished.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def write_json(path: Path, content: Any) -> None:
    """
    :param path: The file, which is there whole or not at all.
    :param content: What is to be in it.
    """
    text = json.dumps(content, indent=4) + "\n"
    write_whole(path, lambda unfinished: unfinished.write_text(text, encoding="utf-8"))


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """
    Keep other processes from recording into a folder. The end of this process, however it ends, frees it.

    :param folder: The folder, which is made.
    :raises DemonstrationsError: if another process records into it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemonstrationsError(f"Another process records into {folder}: wait for it, or take another folder.") from None
        yield

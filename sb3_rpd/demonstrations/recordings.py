"""Which recordings a folder holds, so that the same command goes on where it was and another one adds to it."""

import json
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from sb3_rpd.demonstrations.episodes import Episode
from sb3_rpd.demonstrations.errors import DemonstrationsError
from sb3_rpd.demonstrations.files import write_json

#: What tells one recording from another: who acts, where, with which noise; what JSON can hold.
Settings: TypeAlias = dict[str, Any]


class EpisodeWriter(Protocol):
    """A folder that finished episodes are added to."""

    def begin(self, settings: Settings) -> int:
        """
        Start a recording, or go on with it.

        :param settings: Which one.
        :return: Its number in the folder.
        """

    def origins(self, recording: int) -> list[dict[str, Any]]:
        """
        :param recording: The number of a recording.
        :return: Of each of its episodes, in order, at least ``attempt``, ``success`` and ``frames``, how many it has.
        """

    def add(self, episode: Episode) -> None:
        """
        Write an episode: wherever this is interrupted, it is there whole or not at all.

        :param episode: The episode.
        :raises DemonstrationsError: if it does not fit those that are there.
        """

    def finish(self) -> None:
        """Write what concerns all episodes together."""


class RecordingList:
    """
    The settings of a folder's recordings, in a file.

    :param folder: The folder.
    :param name: The file's path in it.
    :raises DemonstrationsError: if the folder holds files, and not this one.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._path = folder / name
        self._all: list[Settings] = []
        if self._path.exists():
            self._all = json.loads(self._path.read_text(encoding="utf-8"))
        elif any(path.is_file() and not path.name.startswith(".") for path in folder.rglob("*")):
            raise DemonstrationsError(f"{folder} holds files that were not recorded here in this format: take another folder.")

    def begin(self, settings: Settings) -> int:
        """:return: The number of the recording with these settings, which is added if there is none."""
        # as they are read again: tuples are lists in JSON
        settings = json.loads(json.dumps(settings))
        if settings not in self._all:
            self._all.append(settings)
            write_json(self._path, self._all)
        return self._all.index(settings)

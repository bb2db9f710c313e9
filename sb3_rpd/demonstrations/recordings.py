"""Which recordings a folder holds, so that the same command goes on where it was and another one adds to it."""

import json
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from sb3_rpd.demonstrations.episodes import Episode
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

    :param path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._all: list[Settings] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []

    def begin(self, settings: Settings) -> int:
        """:return: The number of the recording with these settings, which is added if there is none."""
        # as they are read again: tuples are lists in JSON
        settings = json.loads(json.dumps(settings))
        if settings not in self._all:
            self._all.append(settings)
            write_json(self._path, self._all)
        return self._all.index(settings)

"""The table of episodes of a LeRobot v3.0 data set: an episode that is in it is there."""

from pathlib import Path
from typing import Any

from sb3_rpd.demonstrations.files import write_whole
from sb3_rpd.demonstrations.lerobot.layout import EPISODES, FILES_PER_CHUNK
from sb3_rpd.demonstrations.lerobot.parquet import import_arrow, import_parquet

# A file is written anew for each episode, up to this size
_EPISODES_PER_FILE = 200


class EpisodeTable:
    """
    The rows of all episodes, one file for some of them.

    :param folder: The data set.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.rows: list[dict[str, Any]] = []
        while (path := self._path(len(self.rows) // _EPISODES_PER_FILE)).exists():
            read = import_parquet().read_table(path).to_pylist()
            self.rows += read
            if len(read) < _EPISODES_PER_FILE:
                break

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_frames(self) -> int:
        """How many frames the episodes have."""
        return int(self.rows[-1]["dataset_to_index"]) if self.rows else 0

    def append(self, row: dict[str, Any]) -> None:
        """
        :param row: What is to be known of one more episode, by the names of the columns.
        """
        number = len(self.rows) // _EPISODES_PER_FILE
        place = _place(number)
        row = {**row, **{f"meta/episodes/{name}": value for name, value in place.items()}}
        table = _table([*self.rows[number * _EPISODES_PER_FILE :], row])
        write_whole(self._path(number), lambda path: import_parquet().write_table(table, path))
        # not before it is there: a Ctrl-C may come at any time
        self.rows.append(row)

    def _path(self, number: int) -> Path:
        return self._folder / EPISODES.format(**_place(number))


def _place(number: int) -> dict[str, int]:
    return {"chunk_index": number // FILES_PER_CHUNK, "file_index": number % FILES_PER_CHUNK}


def _table(rows: list[dict[str, Any]]) -> Any:
    arrow = import_arrow()
    table = arrow.Table.from_pylist(rows)
    # nobody may have said yet whether an episode was a success
    where = table.schema.get_field_index("success")
    return table.cast(table.schema.set(where, arrow.field("success", arrow.bool_())))

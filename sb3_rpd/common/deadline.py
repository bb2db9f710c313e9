"""Until when to wait for somebody, and which setting says so."""

import time
from typing import NamedTuple


class Deadline(NamedTuple):
    """
    Until when to wait.

    :param name: The setting that says how long.
    :param seconds: Its value.
    :param at: The end, by ``time.monotonic``.
    """

    name: str
    seconds: float
    at: float

    @classmethod
    def after(cls, name: str, seconds: float) -> "Deadline":
        """:return: The deadline so many seconds from now."""
        return cls(name, seconds, time.monotonic() + seconds)

    def left(self) -> float:
        """:return: The seconds that are left, 0 when it is over."""
        return max(0.0, self.at - time.monotonic())

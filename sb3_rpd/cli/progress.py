"""How far a command is, on one line of the terminal or, in a file, a line now and then."""

import sys
import time

# Seconds between two lines where there is no terminal
_PAUSE = 30.0


class Progress:
    """
    Shows on standard error how much of the work is done, and how long the rest will take.

    :param total: How much there is to do.
    :param unit: Of what: "episodes".
    :param done: How much of it was done before.
    """

    def __init__(self, total: int, unit: str, *, done: int = 0) -> None:
        self._total, self._unit, self._before = total, unit, done
        self._started = time.monotonic()
        self._shown = -_PAUSE
        self._width = 0

    def show(self, done: int, note: str) -> None:
        """
        :param done: How much is done.
        :param note: What else there is to say.
        """
        now = time.monotonic()
        is_terminal = sys.stderr.isatty()
        is_last = done >= self._total
        if not (is_terminal or is_last or now - self._shown >= _PAUSE):
            return
        self._shown = now
        made = done - self._before
        left = f", {_duration((self._total - done) * (now - self._started) / made)} left" if made and not is_last else ""
        line = f"{done} of {self._total} {self._unit}, {note}{left}"
        if is_terminal:
            sys.stderr.write(f"\r{line:<{self._width}}" + ("\n" if is_last else ""))
            self._width = len(line)
        else:
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{round(seconds)} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"

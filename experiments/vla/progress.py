"""Lines about how far a long program is."""

import time


def show(line: str) -> None:
    """:param line: To be printed at once, with the time."""
    print(time.strftime("%H:%M:%S"), line, flush=True)

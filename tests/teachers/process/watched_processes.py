"""Whether processes are there or gone, and patience for what they take."""

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

#: Seconds that anything may take on a busy machine.
PATIENCE = 90.0


def wait_until(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"not within {PATIENCE} s: {what}"
        time.sleep(0.02)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, be it that nobody has asked for its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def processes_of_session(session: int) -> list[int]:
    pids = [int(path.name) for path in Path("/proc").glob("[0-9]*")]
    found = []
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3]) == session and not is_gone(pid):
                found.append(pid)
    return found

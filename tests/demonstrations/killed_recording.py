"""
Records in each format again and again, and each time kills the recording process (SIGKILL) at the next of the moments at
which a file is about to be replaced, or has just been:

    python killed_recording.py FOLDER EPISODES

After each kill another process looks at what is there. Prints how many processes of each format were killed before one came to
the end.
"""

import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

import numpy as np
from toy_painted_env import PaintedEnv, to_the_middle

from sb3_rpd.demonstrations import FORMATS, ActionNoise, DemonstrationsError, read_demonstrations, record

replace = os.replace


def record_all(folder: Path, format: str, episodes: int) -> None:
    """The whole recording, or what is left of it."""
    record(PaintedEnv(), folder, teacher=to_the_middle, episodes=episodes, noise=ActionNoise((0.0, 0.5)), format=format)


def in_another_process(work: Callable[[], None]) -> int:
    """:return: What ``os.waitpid`` says of a process that does some work."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def dying_at(moment: int, work: Callable[[], None]) -> Callable[[], None]:
    """The same work with its process killed at a moment: even ones are before a file is replaced, odd ones after."""

    def work_until_killed() -> None:
        moments = iter(range(10**9))

        def replace_or_die(source: Path, target: Path) -> None:
            if next(moments) == moment:
                # as a process leaves it that is killed while it writes
                os.truncate(source, os.path.getsize(source) // 2)
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)
            if next(moments) == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        os.replace = replace_or_die  # type: ignore[assignment]
        work()

    return work_until_killed


def check_whole(folder: Path) -> None:
    """Whatever is there are whole episodes: their numbers are consecutive, and they end in the middle."""
    try:
        frames = read_demonstrations(folder)
    except DemonstrationsError:
        return
    assert np.unique(frames.episodes).tolist() == list(range(frames.episodes[-1] + 1))
    last = np.append(np.diff(frames.episodes) > 0, True)
    for index in np.flatnonzero(last):
        frames.image(int(index))
    # the label leads there from the last state, so that none is missing after it
    assert (np.abs(frames.states[last]) <= 0.2 + 0.1).all()


def record_with_kills(folder: Path, format: str, episodes: int) -> int:
    """:return: How many processes were killed."""
    # Within eight moments an episode with a video is written, and all that a recording begins with
    for kills, moment in enumerate(cycle(range(8))):
        status = in_another_process(dying_at(moment, lambda: record_all(folder, format, episodes)))
        if format != "maniskill":
            assert in_another_process(lambda: check_whole(folder)) == 0
        if not os.WIFSIGNALED(status):
            assert status == 0
            return kills
        assert os.WTERMSIG(status) == signal.SIGKILL
    raise AssertionError


if __name__ == "__main__":
    folder, episodes = Path(sys.argv[1]), int(sys.argv[2])
    print(json.dumps({format: record_with_kills(folder / format, format, episodes) for format in FORMATS}))

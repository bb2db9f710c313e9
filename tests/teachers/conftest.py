"""Servers in processes of their own, which end with the test that started them."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

SERVERS = Path(__file__).parent.parent / "servers"


@pytest.fixture
def start_process() -> Iterator[Callable[..., tuple[subprocess.Popen, str]]]:
    """Starts ``python *arguments`` in the folder of the test servers; gives the process and the first line that it prints."""
    processes = []

    def start(*arguments: str, env: dict[str, str] | None = None) -> tuple[subprocess.Popen, str]:
        process = subprocess.Popen([sys.executable, *arguments], cwd=SERVERS, stdout=subprocess.PIPE, text=True, env=env)
        processes.append(process)
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        assert line, f"{arguments} ended with status {process.wait()}"
        return process, line

    yield start
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def start_server(start_process: Callable[..., tuple[subprocess.Popen, str]]) -> Callable[..., int]:
    """Starts one of the look-alike servers, gives the port at which it listens."""
    return lambda script, *arguments: int(start_process(script, *arguments)[1])

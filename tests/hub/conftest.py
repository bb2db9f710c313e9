"""The look-alike of the hub, in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def hub_address() -> Iterator[str]:
    """The address of a server that speaks the hub's API, and begins without repositories."""
    script = Path(__file__).parents[1] / "servers" / "hub_lookalike.py"
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.kill()

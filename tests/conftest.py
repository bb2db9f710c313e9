"""Settings and fixtures of all tests."""

import os
import tempfile
import threading
from collections.abc import Iterator

import pytest
import torch as th
from hypothesis import settings

# Tiny tensors: a second thread gains nothing and loses a lot on busy cores
th.set_num_threads(1)

# The same examples each time, however slow the machine is
settings.register_profile("sb3_rpd", derandomize=True, deadline=None)
settings.load_profile("sb3_rpd")

# A cluster leaves its address where the next program looks for one, which may be that of other tests at the same time.
# The path is short, because those of sockets have to be.
_ray_folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
os.environ["RAY_TMPDIR"] = _ray_folder.name


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fails the test if it leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not left, f"threads left behind: {left}"

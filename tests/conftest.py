"""Settings and fixtures of all tests."""

import threading
from collections.abc import Iterator

import pytest
import torch as th

# Tiny tensors: a second thread gains nothing and loses a lot on busy cores
th.set_num_threads(1)


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Fails the test if it leaves a thread behind."""
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    assert not left, f"threads left behind: {left}"

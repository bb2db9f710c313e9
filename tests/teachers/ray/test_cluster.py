"""Connecting to Ray clusters that are not there."""

import socket

import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers.ray.cluster import connect


def test_nobody_is_at_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(TeacherError, match=rf"No Ray cluster could be found at '127\.0\.0\.1:{port}': .*refused"):
        connect(f"127.0.0.1:{port}", verbose=0)


def test_what_is_no_address() -> None:
    for address in ("nonsense", "127.0.0.1:99999"):
        with pytest.raises(TeacherError, match=f"No Ray cluster could be found at '{address}'"):
            connect(address, verbose=0)

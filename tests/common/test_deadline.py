"""Waiting until a deadline, by a clock that the test sets."""

import time

import pytest

from sb3_rpd.common.deadline import Deadline


def test_what_is_left_falls_to_0_and_not_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    deadline = Deadline.after("timeout", 2.5)
    assert deadline == ("timeout", 2.5, 102.5)

    left = []
    for now in (100.0, 101.0, 102.25, 102.5, 102.75, 1e9):
        monkeypatch.setattr(time, "monotonic", lambda now=now: now)
        left.append(deadline.left())

    # Exactly 0 once it is over: who waits compares with it, and a negative timeout may mean for ever
    assert left == [2.5, 1.5, 0.25, 0.0, 0.0, 0.0]

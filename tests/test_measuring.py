"""How the benchmarks take turns."""

from collections.abc import Callable

import pytest
from measuring import Seconds, fastest, spread_of_ratios, take_turns


def test_the_fastest_of_three_runs_counts_by_its_clock() -> None:
    def runs() -> Callable[[], Seconds]:
        return iter([Seconds(3.0, 0.2), Seconds(1.0, 0.4), Seconds(2.0, 0.3)]).__next__

    assert fastest(runs(), "wall") == Seconds(1.0, 0.4)
    assert fastest(runs(), "cpu") == Seconds(3.0, 0.2)


def test_turns_come_in_either_order_and_the_first_round_warms_up() -> None:
    order: list[str] = []

    def turn(name: str) -> int:
        order.append(name)
        return len(order)

    results = take_turns({name: lambda name=name: turn(name) for name in "abc"}, rounds=2)
    assert "".join(order) == "cbaabccba"
    assert results == {"a": [4, 9], "b": [5, 8], "c": [6, 7]}


def test_ratios_are_taken_round_by_round() -> None:
    # 2, 3 and 10: a machine that was slow in the second round has no say
    ratios = spread_of_ratios([2.0, 300.0, 10.0], [1.0, 100.0, 1.0])
    assert (ratios.low, ratios.median, ratios.high) == pytest.approx((2.5, 3.0, 6.5))

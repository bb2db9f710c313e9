"""When hovering pays more than success (sb3_rpd/envs/hovering.py)."""

import linecache
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sb3_rpd.envs.hovering import hovering_pays_from, warn_if_hovering_pays


@given(reward=st.fractions(Fraction(1, 1000), 1, max_denominator=1000), steps=st.integers(1, 50))
def test_hovering_pays_above_the_threshold_only(reward: Fraction, steps: int) -> None:
    """By exact sums: small powers of gamma would be lost in floats."""

    def paid(gamma: Fraction) -> Fraction:
        return reward * sum((gamma**k for k in range(steps)), Fraction(0))

    threshold = hovering_pays_from(float(reward), steps)
    if threshold is None:
        assert paid(Fraction(1)) <= 1
    else:
        rounding = Fraction(2, 1_000_000)
        assert paid(max(Fraction(threshold) - rounding, Fraction(0))) <= 1 < paid(Fraction(threshold) + rounding)


def test_thresholds_by_hand() -> None:
    assert hovering_pays_from(0.6, 10_000) == pytest.approx(0.4, abs=1e-5)  # 0.6 / (1 - gamma) = 1
    assert hovering_pays_from(0.6, 2) == pytest.approx(2 / 3, abs=1e-5)  # 0.6 + 0.6 gamma = 1
    assert hovering_pays_from(0.5, 2) is None
    assert hovering_pays_from(1.0, 1) is None
    assert hovering_pays_from(1.0, 2) == pytest.approx(0, abs=1e-5)
    assert hovering_pays_from(0.6, None) == 0.4


# 1.7 + 1.7 gamma = 2.7, and 1.7 / (1 - gamma) = 2.7
@pytest.mark.parametrize(("steps", "gamma"), [(2, "0.59"), (None, "0.37")])
def test_the_warning_counts_in_rewards_of_success_and_shows_who_made_the_environment(steps: int | None, gamma: str) -> None:
    def make() -> None:
        warn_if_hovering_pays("theirs", "Pull", 1.7, steps, success_reward=2.7)

    message = rf"up to 1\.70 for each step short of success in Pull, and 2\.7 once for success.* with gamma above {gamma} "
    with pytest.warns(UserWarning, match=message) as told:
        make()
    assert [linecache.getline(warning.filename, warning.lineno).strip() for warning in told] == ["make()"]

"""What is said about options, of whatever simulator (sb3_rpd/envs/simulator_options.py)."""

from typing import Any

import pytest

from sb3_rpd.envs.simulator_options import SimulatorOptions

GAZEBO = SimulatorOptions("Gazebo", "make_gazebo_env", "gravity and wind")


def make_world(*, gravity: float = 9.81) -> float:
    return gravity


def error_of(**options: Any) -> TypeError:
    """Python's own."""
    with pytest.raises(TypeError) as raised:
        make_world(**options)
    return raised.value


def test_an_unknown_option_is_named_beside_those_that_there_are() -> None:
    assert GAZEBO.explain(error_of(gravitation=1.6), "Stack", {}) == (
        "neither make_gazebo_env nor Gazebo's Stack has an option 'gravitation'. Gazebo's are gravity and wind"
    )


@pytest.mark.parametrize(
    "error", [TypeError("unsupported operand type(s) for %: 'str' and 'int'"), AssertionError(), AttributeError("poses")]
)
def test_other_mistakes_are_not_explained(error: Exception) -> None:
    assert GAZEBO.explain(error, "Stack", {"control_mode": "pd"}) is None


def test_its_own_names_are_those_of_the_function() -> None:
    other = SimulatorOptions("Gazebo", "make_gazebo_env", "wind", own_names={"sensors": "obs"})
    with pytest.raises(ValueError, match=r"^sensors= is Gazebo's own option, which obs= sets here: give that instead$"):
        other.refuse_other_names({"wind": 3, "sensors": "all"})
    # Those of ManiSkill2 and ManiSkill3 are not among them
    other.refuse_other_names({"obs_mode": "state", "obs": "rgb"})

import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd.teachers.remote.arrays import MalformedMessageError
from sb3_rpd.teachers.remote.extension import describe_space, read_space
from sb3_rpd.teachers.remote.messages import pack_openpi, unpack_openpi


@pytest.mark.parametrize(
    "space",
    [
        spaces.Box(-1.0, 1.0, (7,), np.float32),
        spaces.Box(np.array([-np.inf, 0.0]), np.array([1.0, np.inf]), dtype=np.float64),
        spaces.Discrete(4, start=2),
        spaces.MultiDiscrete([3, 2]),
        spaces.MultiBinary(5),
        spaces.MultiBinary([2, 3]),
    ],
    ids=str,
)
def test_action_spaces_survive_the_way_through_a_network(space):
    sent = unpack_openpi(pack_openpi({"space": describe_space(space)}))["space"]
    assert read_space(sent) == space


@pytest.mark.parametrize(
    "description",
    [
        None,
        {},
        {"kind": "Dict"},
        {"kind": ["Box"]},
        {"kind": "Box", "low": 0, "high": 1},
        {"kind": "Box", "low": np.zeros(2), "high": np.ones(3)},
        {"kind": "Box", "low": np.zeros(2, bool), "high": np.ones(2, bool)},
        {"kind": "Box", "low": np.ones(2), "high": np.zeros(2)},
        {"kind": "Discrete", "n": 0, "start": 0},
        {"kind": "Discrete", "n": 10**30, "start": 0},
        {"kind": "Discrete", "n": 3},
        {"kind": "MultiDiscrete", "nvec": np.array([0])},
        {"kind": "MultiDiscrete", "nvec": [2]},
        {"kind": "MultiBinary", "n": [10**9]},
        {"kind": "MultiBinary", "n": "3"},
    ],
    ids=str,
)
def test_what_describes_no_space_is_refused(description):
    with pytest.raises(MalformedMessageError):
        read_space(description)


def test_other_spaces_are_not_sent():
    with pytest.raises(TypeError, match="Dict"):
        describe_space(spaces.Dict({}))

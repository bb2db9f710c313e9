import numpy as np
import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.teachers.remote.observations import select

OFFERED = {"frame": np.zeros((2, 8, 8, 3), np.uint8), "qpos": np.zeros((2, 4)), "mask": np.zeros((2, 8, 8), np.uint8)}


def test_the_server_gets_what_the_mapping_names():
    selected = select({"observation/image": "frame", "observation/state": "qpos", "again": "qpos"}, OFFERED, "ws://there")
    assert [*selected] == ["observation/image", "observation/state", "again"]
    assert selected["again"] is OFFERED["qpos"]
    assert select(None, OFFERED, "ws://there") == OFFERED


def test_a_missing_observation_is_named_with_both_sides():
    with pytest.raises(TeacherError) as error:
        select({"observation/image": "frame", "observation/state": "joints"}, OFFERED, "ws://there")
    for part in ("ws://there", "'observation/state' from 'joints'", "'frame', 'mask', 'qpos'", "'joints' cannot be found"):
        assert part in str(error.value)

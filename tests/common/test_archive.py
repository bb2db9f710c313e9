"""Objects as text in an archive."""

import json

import pytest

from sb3_rpd.common.archive import pack, unpack
from sb3_rpd.common.losses import Huber


def test_an_object_comes_back_from_json() -> None:
    loss = Huber(weights=(1.0, 2.0), delta=0.5)
    assert unpack(json.loads(json.dumps(pack(loss))), "imitation_loss") == loss


def test_functions_and_shared_objects_come_back() -> None:
    schedule = [1.0]
    function, first, second = unpack(pack((lambda left: left / 2, schedule, schedule)), "imitation_coef")
    assert function(1.0) == 0.5
    assert first is second


@pytest.mark.parametrize("text", ["", "no pickle", "AAAA"])
def test_what_cannot_be_restored_names_the_argument_that_replaces_it(text: str) -> None:
    with pytest.raises(RuntimeError, match=r"The imitation_coef in this archive cannot.*load\(path, imitation_coef=\.\.\.\)"):
        unpack(text, "imitation_coef")

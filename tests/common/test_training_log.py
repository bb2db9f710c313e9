"""Means over minibatches."""

import numpy as np
import pytest
import torch as th

from sb3_rpd.common.training_log import TrainingLog


def test_means_by_name_in_float64() -> None:
    statistics = TrainingLog()
    values = [16777216.0, 1.0, 1.0]
    for value in values:
        statistics.add("loss", th.tensor(value))
        statistics.add("share", 0.5)
    # The sum of these in float32 stays at 2**24
    assert statistics.means() == {"loss": np.mean(values), "share": 0.5}


def test_restart_forgets_one_name() -> None:
    statistics = TrainingLog()
    for name in ("kl", "loss"):
        statistics.add(name, 1.0)
    statistics.restart("kl")
    statistics.restart("never seen")
    statistics.add("kl", 3.0)
    assert statistics.means() == {"kl": 3.0, "loss": 1.0}


def test_no_graph_is_held() -> None:
    statistics = TrainingLog()
    parameter = th.ones((), requires_grad=True)
    statistics.add("loss", 2.0 * parameter)
    assert not statistics._scalars["loss"][0].requires_grad
    assert statistics.means() == {"loss": pytest.approx(2.0)}


def test_nothing_was_added() -> None:
    assert TrainingLog().means() == {}

"""One simulator, in rows of numpy arrays (sb3_rpd/envs/maniskill3/simulation.py), by a stand-in for it."""

import numpy as np
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from stand_in import StandIn

from sb3_rpd.envs.maniskill3.simulation import Simulation

NEVER = 10_000


def make(n_envs: int) -> tuple[Simulation, StandIn]:
    simulator = StandIn([NEVER] * n_envs, shows_state=True)
    return Simulation(simulator), simulator


@given(n_envs=st.integers(1, 4), data=st.data())
def test_seeds_are_drawn_from_the_last_ones_given_and_the_other_episodes_go_on(n_envs: int, data: st.DataObject) -> None:
    simulation, simulator = make(n_envs)
    seeds = data.draw(st.lists(st.integers(0, 2**31 - 1), min_size=n_envs, max_size=n_envs))
    rows = data.draw(st.lists(st.integers(0, n_envs - 1), unique=True, min_size=1).map(sorted))
    simulation.reset(range(n_envs), seeds)
    simulation.step(np.ones((n_envs, 2), np.float32))
    simulation.reset(rows)
    drawn = np.random.default_rng(seeds).integers(2**31, size=n_envs).tolist()
    assert simulator.seeds == [seeds, drawn]
    assert simulator.resets == [list(range(n_envs)), rows]
    # Steps of each, and the sum of its actions: those of the others go on
    goes_on = ~np.isin(np.arange(n_envs), rows)
    np.testing.assert_array_equal(simulation.states[:, 1:], np.outer(goes_on, [1, 2]))


def test_the_students_random_numbers_are_left_alone() -> None:
    simulation, _ = make(2)
    th.manual_seed(3)
    expected = th.rand(3)
    th.manual_seed(3)
    for rows in ([0, 1], [1], [0, 1]):
        simulation.reset(rows)
        simulation.step(np.ones((2, 2), np.float32))
    assert th.equal(th.rand(3), expected)


def test_something_is_read_once_for_each_state_and_is_not_the_simulators_memory() -> None:
    simulation, simulator = make(2)
    asked: list[StandIn] = []

    def n_steps(simulator: StandIn) -> th.Tensor:
        asked.append(simulator)
        return simulator.state[:, 1]

    simulation.reset([0, 1])
    first = simulation.read(n_steps)
    assert simulation.read(n_steps) is first
    simulation.step(np.zeros((2, 2), np.float32))
    second = simulation.read(n_steps)
    simulation.reset([1])
    np.testing.assert_array_equal([first, second, simulation.read(n_steps)], [[0, 0], [1, 1], [1, 0]])
    assert asked == [simulator] * 3

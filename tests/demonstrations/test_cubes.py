import numpy as np
import pytest

from sb3_rpd.demonstrations import MoreNearCube
from sb3_rpd.envs import CubeState, make_maniskill2_env, privileged_state


@pytest.mark.maniskill2
def test_states_near_the_cube_are_likelier_to_be_kept():
    env = make_maniskill2_env("LiftCube-v0")
    env.reset(seed=0)
    state = CubeState.unpack(privileged_state(env))
    distance = np.linalg.norm(state.tcp_position - state.cube_position)
    assert MoreNearCube(0.9, 0.1, distance=distance + 1e-3)(env) == 0.9
    assert MoreNearCube(0.9, 0.1, distance=distance - 1e-3)(env) == 0.1

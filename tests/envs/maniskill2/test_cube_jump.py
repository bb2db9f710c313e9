"""Cubes that are elsewhere all of a sudden (sb3_rpd/envs/maniskill2/cube_jump.py)."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.envs import CubeJumpWrapper, CubeState, make_maniskill2_env, privileged_state
from sb3_rpd.evaluation import evaluate_teacher
from sb3_rpd.teachers import ScriptedTeacher

STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)

pytestmark = pytest.mark.maniskill2


def make(task: str, share: float) -> gym.Env:
    return make_maniskill2_env(task, max_episode_steps=60, wrap=lambda env: CubeJumpWrapper(env, share))


def path_of_the_cube(env: gym.Env, seed: int | None, steps: int = 25) -> np.ndarray:
    """Its position after each step of an episode in which nothing else moves, shape (steps + 1, 3)."""
    env.reset(seed=seed)
    positions = [CubeState.unpack(privileged_state(env)).cube_position]
    for _ in range(steps):
        env.step(STILL)
        positions.append(CubeState.unpack(privileged_state(env)).cube_position)
    return np.array(positions)


@pytest.mark.parametrize("task", ["LiftCube-v0", "StackCube-v0"])
def test_the_cube_jumps_once_and_lies_on_the_table(task: str) -> None:
    env = make(task, share=1.0)
    for seed in range(3):
        path = path_of_the_cube(env, seed)
        (jump,) = np.flatnonzero(np.linalg.norm(np.diff(path[:, :2], axis=0), axis=1) > 0.005)
        assert 4 <= jump < 20
        assert (np.abs(path[jump + 1, :2]) <= 0.101).all()
        np.testing.assert_allclose(path[-1], path[jump + 1], atol=2e-3)
        np.testing.assert_allclose(path[:, 2], 0.02, atol=2e-3)


def test_the_seed_of_the_last_reset_that_had_one_decides() -> None:
    env = make("LiftCube-v0", share=0.5)
    first = [path_of_the_cube(env, seed) for seed in (1, None, None, None)]
    again = [path_of_the_cube(env, seed) for seed in (1, None, None, None)]
    np.testing.assert_allclose(first, again, atol=1e-4)
    jumps = [np.linalg.norm(path[-1] - path[0]) > 0.01 for path in first]
    assert 0 < sum(jumps) < 4


def test_without_a_share_nothing_jumps() -> None:
    assert np.ptp(path_of_the_cube(make("LiftCube-v0", share=0.0), 0), axis=0).max() < 2e-3
    with pytest.raises(ValueError, match=r"share=1\.5"):
        make("LiftCube-v0", share=1.5)


def test_the_scripted_controller_goes_after_the_cube() -> None:
    def wrap(env: gym.Env) -> gym.Env:
        return TeacherActionWrapper(CubeJumpWrapper(env, 1.0), observation={"privileged": privileged_state})

    env = make_maniskill2_env("LiftCube-v0", max_episode_steps=100, wrap=wrap)
    assert evaluate_teacher(ScriptedTeacher("LiftCube-v0"), env, 4).successes == 4


def test_the_text_of_the_environment_says_how_often() -> None:
    assert "CubeJumpWrapper(0.25)" in str(make("LiftCube-v0", share=0.25))

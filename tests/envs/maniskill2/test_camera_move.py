"""A camera that is somewhat elsewhere in each episode (sb3_rpd/envs/maniskill2/camera_move.py)."""

import gymnasium as gym
import numpy as np
import pytest

from sb3_rpd.envs import CameraMoveWrapper, human_frame, make_maniskill2_env

pytestmark = pytest.mark.maniskill2

#: ManiSkill2's: where it is, and what it looks at.
HOME, TARGET = np.array([0.4, 0.4, 0.8]), np.array([0.0, 0.0, 0.4])
DEPTH = float(np.linalg.norm(TARGET - HOME))


def make(distance: float, obs: str = "state") -> gym.Env:
    def wrap(env: gym.Env) -> gym.Env:
        return CameraMoveWrapper(env, distance, DEPTH)

    return make_maniskill2_env("LiftCube-v0", obs, image_size=32, render_mode="rgb_array", wrap=wrap)


def place_and_direction(env: gym.Env) -> tuple[np.ndarray, np.ndarray]:
    matrix = env.unwrapped._render_cameras["render_camera"].camera.get_pose().to_transformation_matrix()  # type: ignore[attr-defined]
    return matrix[:3, 3], matrix[:3, 0]


@pytest.mark.rendering
def test_it_stands_in_a_ball_and_looks_at_one_point() -> None:
    env = make(0.05)
    places = []
    for seed in range(40):
        env.reset(seed=seed)
        place, direction = place_and_direction(env)
        to_target = TARGET - place
        np.testing.assert_allclose(direction, to_target / np.linalg.norm(to_target), atol=1e-5)
        places.append(place - HOME)
    distances = np.linalg.norm(places, axis=1)
    assert distances.max() <= 0.05 + 1e-6
    # half of a ball is outside of 0.79 of its radius, and no side of it is left out
    assert 10 < np.sum(distances > 0.79 * 0.05) < 30
    assert (np.min(places, axis=0) < -0.015).all()
    assert (np.max(places, axis=0) > 0.015).all()
    env.close()


@pytest.mark.rendering
def test_the_seed_of_the_last_reset_that_had_one_decides() -> None:
    env = make(0.05)

    def places() -> list[np.ndarray]:
        found = []
        for seed in (1, None, None):
            env.reset(seed=seed)
            found.append(place_and_direction(env)[0])
        return found

    first = places()
    np.testing.assert_array_equal(first, places())
    assert len(np.unique(first, axis=0)) == 3
    env.close()


@pytest.mark.rendering
def test_the_first_observation_is_by_the_moved_camera_and_later_ones_too() -> None:
    moved, still = make(0.1, "rgb"), make(0.0, "rgb")
    first, _ = moved.reset(seed=3)
    np.testing.assert_array_equal(first, human_frame(moved))
    unmoved, _ = still.reset(seed=3)
    assert np.abs(first.astype(int) - unmoved).mean() > 2
    # no distance is no motion, but for look_at() of the same numbers in float64 and float32
    bare = make_maniskill2_env("LiftCube-v0", "rgb", image_size=32, render_mode="rgb_array")
    assert np.abs(unmoved.astype(int) - bare.reset(seed=3)[0]).mean() < 0.5
    for env in (moved, still, bare):
        env.close()


def test_what_it_refuses() -> None:
    env = gym.make("CartPole-v1")
    with pytest.raises(ValueError, match="has no camera of ManiSkill2"):
        CameraMoveWrapper(env, 0.1)
    for distance, depth, said in ((-0.1, 0.7, "distance=-0.1"), (np.inf, 0.7, "distance=inf"), (0.1, 0.0, "depth=0.0")):
        with pytest.raises(ValueError, match=said):
            CameraMoveWrapper(env, distance, depth)

"""A robot that is drawn with fewer triangles (sb3_rpd/envs/maniskill2/mesh_reduction.py)."""

import gc
import sys
import tempfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_rpd.envs import make_maniskill2_env
from sb3_rpd.envs.maniskill2.mesh_reduction import _normals, _temporary_folder

pytestmark = pytest.mark.maniskill2

#: Of the Panda.
TRIANGLES = 134_924


def make(reduction: float = 0.0, obs: str = "rgb", task: str = "LiftCube-v0") -> gym.Env:
    return make_maniskill2_env(task, obs, image_size=64, mesh_reduction=reduction)


def meshes(env: gym.Env) -> list[Any]:
    bare: Any = env.unwrapped
    bodies = (body for link in bare.agent.robot.get_links() for body in link.get_visual_bodies())
    return [shape.mesh for body in bodies for shape in body.get_render_shapes()]


def counts(env: gym.Env) -> list[int]:
    """How many triangles the parts have."""
    return [len(mesh.indices) // 3 for mesh in meshes(env)]


def triangles(env: gym.Env) -> int:
    return sum(counts(env))


def expected_triangles(whole: gym.Env) -> Any:
    """A tenth, but meshes of 1000 triangles and less stay whole."""
    small = sum(count for count in counts(whole) if count <= 1000)
    return pytest.approx(small + 0.1 * (triangles(whole) - small), rel=0.01)


def used_points(mesh: Any) -> np.ndarray:
    return np.asarray(mesh.vertices)[np.unique(mesh.indices)]


def play(env: gym.Env, steps: int) -> tuple[list[Any], list[Any]]:
    """Observations and rewards of an episode of random actions."""
    generator = np.random.default_rng(0)
    observations, rewards = [env.reset(seed=1)[0]], []
    for _ in range(steps):
        observation, reward, *_ = env.step(generator.uniform(-1, 1, 7).astype(np.float32))
        observations.append(observation)
        rewards.append(reward)
    return observations, rewards


@pytest.mark.rendering
def test_fewer_triangles_nearly_the_same_pictures_and_the_same_physics() -> None:
    whole, reduced = make(obs="rgb+state"), make(0.9, obs="rgb+state")
    assert triangles(whole) == TRIANGLES
    assert triangles(reduced) == expected_triangles(whole)
    seen, rewards = play(whole, 20)
    seen_reduced, rewards_reduced = play(reduced, 20)
    assert rewards == rewards_reduced
    for before, after in zip(seen, seen_reduced, strict=True):
        np.testing.assert_array_equal(before["state"], after["state"])
    pictures, pictures_reduced = (np.stack([one["rgb"] for one in all_]).astype(int) for all_ in (seen, seen_reduced))
    differs = (np.abs(pictures - pictures_reduced) > 8).any(axis=-1)
    assert 0.0 < differs.mean() < 0.01
    for env in (whole, reduced):
        env.close()


@pytest.mark.rendering
def test_parts_keep_their_place_and_their_size() -> None:
    whole, reduced = make(), make(0.9)
    for before, after in zip(meshes(whole), meshes(reduced), strict=True):
        # As many vertices as before, of which fewer are in use
        assert len(before.vertices) == len(after.vertices)
        for side in (np.min, np.max):
            np.testing.assert_allclose(side(used_points(before), axis=0), side(used_points(after), axis=0), atol=1.5e-3)
        np.testing.assert_allclose(np.linalg.norm(np.asarray(after.normals)[np.unique(after.indices)], axis=1), 1.0, atol=1e-4)
    for env in (whole, reduced):
        env.close()


@pytest.mark.rendering
def test_other_environments_of_the_process_keep_theirs() -> None:
    earlier, untouched = make(), make()
    first, _ = play(earlier, 3)
    reduced, another = make(0.9), make(0.5)
    later = make()
    assert triangles(earlier) == triangles(untouched) == triangles(later) == TRIANGLES
    assert triangles(reduced) < 0.2 * TRIANGLES < 0.5 * TRIANGLES < triangles(another) < 0.6 * TRIANGLES
    # one of them had not shown anything before
    for env in (earlier, untouched, later):
        np.testing.assert_array_equal(play(env, 3)[0], first)
    for env in (earlier, untouched, reduced, another, later):
        env.close()


@pytest.mark.rendering
def test_meshes_that_nobody_has_any_more_are_reduced_again() -> None:
    left = []
    for _ in range(2):
        env = make(0.9)
        left.append(counts(env))
        env.close()
        del env
        # sapien forgets a file with the last environment that has read it
        gc.collect()
    assert left[0] == left[1]
    assert sum(left[0]) < 0.2 * TRIANGLES


@pytest.mark.rendering
def test_robots_that_share_parts_are_reduced_once_each() -> None:
    # Of this task the Panda has another hand
    reduced, other_task, whole = make(0.9), make(0.9, task="PegInsertionSide-v0"), make(task="PegInsertionSide-v0")
    assert triangles(other_task) == expected_triangles(whole)
    for env in (reduced, other_task, whole):
        env.close()


@pytest.mark.rendering
def test_environments_with_the_same_reduction_are_alike_and_leave_no_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    _temporary_folder.cache_clear()
    first, second = make(0.9), make(0.9)
    assert triangles(first) == triangles(second)
    np.testing.assert_array_equal(play(first, 3)[0], play(second, 3)[0])
    assert list(tmp_path.iterdir()) == []
    for env in (first, second):
        env.close()
    _temporary_folder.cache_clear()


@pytest.mark.rendering
def test_a_scene_that_is_made_anew_is_reduced_as_before() -> None:
    reduced, whole = make(0.9), make()
    count = triangles(reduced)
    reduced.reset(seed=1, options={"reconfigure": True})
    whole.reset(seed=1, options={"reconfigure": True})
    assert triangles(reduced) == count
    assert triangles(whole) == TRIANGLES
    for env in (reduced, whole):
        env.close()


def test_without_a_renderer_there_is_nothing_to_reduce() -> None:
    env, plain = make(0.9, obs="state"), make(obs="state")
    for one, other in zip(play(env, 3)[0], play(plain, 3)[0], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_vertex_has_the_mean_normal_of_its_triangles_by_their_areas() -> None:
    # Two triangles about the x axis: one in the plane z = 0 of area 1/2, one in the plane y = 0 of area 3/2
    points = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3]], np.float32)
    faces = np.array([[0, 1, 2], [0, 3, 1]])
    both = np.array([0, 3, 1]) / np.sqrt(10)
    np.testing.assert_allclose(_normals(points, faces), [both, both, [0, 0, 1], [0, 1, 0]], atol=1e-6)


@pytest.mark.parametrize("reduction", [-0.1, 1.0, float("nan")])
def test_what_is_no_share_is_refused(reduction: float) -> None:
    with pytest.raises(ValueError, match="must be in"):
        make(reduction)


@pytest.mark.rendering
def test_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fast_simplification", None)
    with pytest.raises(ImportError, match=r"sb3_rpd\[maniskill2\]"):
        make(0.9)

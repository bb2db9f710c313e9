"""The suites of the VLA: its cameras, the variation, what student and teacher are shown, which network it was."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from experiments.vla.tasks import moved_camera
from experiments.worlds import vla
from sb3_rpd import TeacherActionWrapper
from sb3_rpd.envs import human_frame, make_maniskill2_env, make_maniskill2_vec_env, privileged_state
from sb3_rpd.evaluation import evaluate_teacher
from sb3_rpd.teachers import ScriptedTeacher, maniskill2
from sb3_rpd.teachers.openvla import make_tiny_openvla


def test_the_camera_is_moved_as_far_as_it_is_said() -> None:
    way = np.array(moved_camera(0.1).position) - np.array(moved_camera(0.0).position)
    assert np.linalg.norm(way) == pytest.approx(0.1)
    np.testing.assert_allclose(way / way[0], [1, -13 / 7, 1])


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_a_camera_that_is_moved_by_nothing_is_maniskill2s() -> None:
    frames = []
    for camera in ("human", moved_camera(0.0), moved_camera(0.03)):
        env = make_maniskill2_env("LiftCube-v0", camera=camera, image_size=32, render_mode="rgb_array")
        env.reset(seed=0)
        frames.append(human_frame(env).astype(int))
        env.close()
    # look_at() of the same numbers in float64 and float32
    assert np.abs(frames[0] - frames[1]).mean() < 0.5
    assert np.abs(frames[0] - frames[2]).mean() > 2


@pytest.mark.maniskill2
@pytest.mark.rendering
def test_the_other_cube_lies_beside_a_block() -> None:
    env = vla.make_env("LiftOtherCube-v0", "none", "sparse", 1, seed=0, obs="state")
    env.reset()
    bare = env.unwrapped.envs[0].unwrapped  # type: ignore[attr-defined]
    np.testing.assert_allclose(bare.obj.pose.p[2], 0.015, atol=5e-4)
    np.testing.assert_allclose(bare.obj.pose.p - bare.block.pose.p, [0.1, 0, -0.005], atol=1e-3)
    materials = [actor.get_visual_bodies()[0].get_render_shapes()[0].material for actor in (bare.obj, bare.block)]
    np.testing.assert_allclose([one.base_color[:3] for one in materials], [[1, 0.45, 0], [0, 0, 1]], atol=1e-6)
    env.close()


@pytest.mark.slow
@pytest.mark.maniskill2
def test_the_other_cube_can_be_lifted(monkeypatch: pytest.MonkeyPatch) -> None:
    import_module("experiments.worlds.vla_variations")  # registers the task
    # what counts as empty, as closed on the cube and as open, for a cube of 3 cm
    monkeypatch.setattr(maniskill2, "_EMPTY", (0.015, 0.022))
    monkeypatch.setattr(maniskill2, "_CLOSED", 0.036)
    monkeypatch.setattr(maniskill2, "_OPEN", 0.052)
    env = make_maniskill2_vec_env(
        "LiftOtherCube-v0",
        2,
        seed=0,
        max_episode_steps=100,
        wrap=lambda one: TeacherActionWrapper(one, observation={"privileged": privileged_state}),
    )
    assert evaluate_teacher(ScriptedTeacher("LiftCube-v0"), env, 4, seed=0).successes == 4
    env.close()


def test_the_teacher_labels_with_means_and_acts_greedily(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tiny_openvla(tmp_path)
    monkeypatch.setattr(vla, "checkpoint", lambda error: tmp_path)
    monkeypatch.setattr(vla, "UNNORM_KEY", "bridge_orig")
    for world in (vla.VLA, vla.VLA_IMAGES):
        assert world.make_acting_teacher is not None
        labeling, acting = (make("LiftCube-v0", "none", 0) for make in (world.make_teacher, world.make_acting_teacher))
        assert (labeling.decode, acting.decode) == ("mean", "greedy")  # type: ignore[attr-defined]

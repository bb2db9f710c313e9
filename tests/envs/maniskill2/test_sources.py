"""What teachers are shown (sb3_rpd/envs/maniskill2/sources.py), also through ``TeacherActionWrapper``."""

import numpy as np
import pytest

from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.envs import (
    camera_frame,
    human_frame,
    make_maniskill2_env,
    make_maniskill2_vec_env,
    privileged_state,
    proprioception,
    task_instruction,
)

pytestmark = pytest.mark.maniskill2


def test_proprioception_is_what_the_state_says_of_the_robot() -> None:
    env = make_maniskill2_env("PegInsertionSide-v0")
    env.reset(seed=0)
    state = env.step(np.full(7, 0.5, np.float32))[0]
    np.testing.assert_array_equal(proprioception(env), np.hstack([state[:18], state[25:32]]))  # without the base pose


def test_a_task_without_instruction_is_reported() -> None:
    env = make_maniskill2_env("PickCube-v0")
    env.instruction = None
    with pytest.raises(ValueError, match=r'instruction="\.\.\."'):
        task_instruction(env)


def test_teacher_info_travels_through_a_vec_env() -> None:
    vec_env = make_maniskill2_vec_env(
        "StackCube-v0",
        2,
        seed=0,
        wrap=lambda env: TeacherActionWrapper(env, observation={"state": privileged_state}, instruction=task_instruction),
    )
    vec_env.reset()
    infos = vec_env.step(np.zeros((2, 7), np.float32))[3]
    for env, info in zip(vec_env.envs, infos, strict=True):
        assert info["teacher"]["instruction"] == "stack the red cube on the green cube"
        np.testing.assert_array_equal(info["teacher"]["observation"]["state"], privileged_state(env))


@pytest.mark.rendering
def test_teacher_and_student_share_one_frame() -> None:
    env = make_maniskill2_env("PickCube-v0", "rgb", image_size=32)
    frame = env.reset(seed=0)[0]
    assert human_frame(env) is frame
    assert frame.shape == (32, 32, 3)
    assert frame.dtype == np.uint8
    frame = env.step(np.zeros(7, np.float32))[0]
    assert human_frame(env) is frame


@pytest.mark.rendering
@pytest.mark.parametrize("camera", ["human", "base_camera"])
def test_the_camera_s_frame_is_what_a_student_of_images_would_see(camera: str) -> None:
    images = make_maniskill2_env("LiftCube-v0", "rgb", camera=camera, image_size=32)
    states = make_maniskill2_env("LiftCube-v0", camera=camera, image_size=32, render_mode="rgb_array")
    seen, _ = images.reset(seed=0)
    states.reset(seed=0)
    np.testing.assert_array_equal(camera_frame(states), seen)
    action = np.array([0, 0, 1, 0, 0, 0, -1], np.float32)
    seen = images.step(action)[0]
    states.step(action)
    np.testing.assert_array_equal(camera_frame(states), seen)


@pytest.mark.rendering
def test_student_sees_the_teachers_larger_frame_scaled_down() -> None:
    """One picture is rendered for both; the teacher's is the one that it would see alone."""
    env = make_maniskill2_env("LiftCube-v0", "rgb", image_size=(32, 48), frame_size=(64, 96))
    alone = make_maniskill2_env("LiftCube-v0", render_mode="rgb_array", image_size=(64, 96))
    image = env.reset(seed=0)[0]
    alone.reset(seed=0)
    assert env.observation_space.contains(image)
    np.testing.assert_array_equal(human_frame(env), human_frame(alone))
    assert human_frame(env) is human_frame(env)
    means = human_frame(env).astype(np.float64).reshape(32, 2, 48, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(image, means, rtol=0, atol=0.5001)


@pytest.mark.rendering
def test_size_of_the_frames_beside_another_camera_and_beside_the_state() -> None:
    env = make_maniskill2_env("LiftCube-v0", "rgb", camera="hand_camera", image_size=24, frame_size=(16, 36))
    assert env.reset(seed=0)[0].shape == (24, 24, 3)
    assert human_frame(env).shape == (16, 36, 3)
    env = make_maniskill2_env("LiftCube-v0", render_mode="rgb_array", frame_size=40)
    env.reset(seed=0)
    assert human_frame(env).shape == (40, 40, 3)


@pytest.mark.rendering
def test_frames_smaller_than_the_students_images_are_refused() -> None:
    with pytest.raises(ValueError, match="64 x 64 pixels cannot be made of frames of 32 x 32"):
        make_maniskill2_env("LiftCube-v0", "rgb", image_size=64, frame_size=32)

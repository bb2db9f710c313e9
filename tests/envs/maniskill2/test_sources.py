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

"""Images of the real simulator: `make test-maniskill3`."""

from collections.abc import Callable

import gymnasium as gym
import numpy as np
from mani_skill.utils.sapien_utils import look_at

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.envs import CameraView, camera_frame, human_frame, make_maniskill3_env, make_maniskill3_vec_env
from sb3_rpd.teachers import FunctionTeacher

DOWN = np.array([0, 0, -1, 0, 0, 0, -1], np.float32)


def their_env(obs_mode: str, **options: object) -> gym.Env:
    return gym.make(
        "PickCube-v1", num_envs=1, obs_mode=obs_mode, control_mode="pd_ee_delta_pose", reward_mode="sparse",
        render_mode="rgb_array", sim_backend="physx_cpu", render_backend="cpu", **options,
    )  # fmt: skip


def test_the_human_camera_and_its_frames() -> None:
    env = make_maniskill3_env("PickCube-v1", "rgb", image_size=(32, 48))
    theirs = their_env("state", human_render_camera_configs={"height": 32, "width": 48})
    first, _ = env.reset(seed=3)
    theirs.reset(seed=3)
    assert env.observation_space.contains(first)
    np.testing.assert_array_equal(first, theirs.render()[0].numpy())
    # One picture for student and teacher; PickCube's goal is green, and in sight
    assert np.shares_memory(human_frame(env), first)
    assert (first[..., 1].astype(int) - first[..., 0] > 60).any()
    kept = first.copy()
    image = env.step(DOWN)[0]
    theirs.step(DOWN)
    np.testing.assert_array_equal(image, theirs.render()[0].numpy())
    np.testing.assert_array_equal(first, kept)
    assert not np.array_equal(image, kept)
    env.close()
    theirs.close()


def test_a_camera_of_the_task_beside_what_the_robot_knows() -> None:
    env = make_maniskill3_env("PickCube-v1", "rgb+state", camera="base_camera", image_size=24, frame_size=(16, 36))
    theirs = their_env("rgb", sensor_configs={"height": 24, "width": 24})
    for act in (lambda env: env.reset(seed=3), lambda env: env.step(DOWN)):
        ours, expected = act(env)[0], act(theirs)[0]
        assert env.observation_space.contains(ours)
        np.testing.assert_array_equal(ours["rgb"], expected["sensor_data"]["base_camera"]["rgb"][0].numpy())
        shown = [expected["agent"]["qpos"], expected["agent"]["qvel"], *expected["extra"].values()]
        np.testing.assert_array_equal(ours["state"], np.hstack([np.ravel(tensor.numpy()) for tensor in shown]))
        # The human camera in between shows the goal, and the task's camera still does not
        assert human_frame(env).shape == (16, 36, 3)
        np.testing.assert_array_equal(camera_frame(env), ours["rgb"])
    env.close()
    theirs.close()


def test_a_moved_camera_looks_at_its_target() -> None:
    eye, target = (0.5, -0.4, 0.7), (-0.1, 0.1, 0.2)
    for name in ("human", "base_camera"):
        env = make_maniskill3_env("PickCube-v1", camera=CameraView(name, eye, target, fov=0.8), image_size=16)
        scene = env.unwrapped.simulator.scene
        camera = scene.human_render_cameras["render_camera"] if name == "human" else scene.sensors[name]
        pose = camera.config.pose.raw_pose[0].numpy()
        np.testing.assert_allclose(pose, look_at(eye, target).raw_pose[0].numpy(), atol=1e-6)
        assert camera.config.fov == 0.8
        env.close()


def test_student_sees_the_teachers_larger_frame_scaled_down() -> None:
    env = make_maniskill3_env("PickCube-v1", "rgb", image_size=(16, 24), frame_size=(32, 48))
    image = env.reset(seed=0)[0]
    assert env.observation_space.contains(image)
    means = human_frame(env).astype(np.float64).reshape(16, 2, 24, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(image, means, rtol=0, atol=0.5001)
    env.close()


def test_labels_are_of_the_frames_that_the_student_sees() -> None:
    """The teacher answers with the frame's mean color."""

    def mean_color(observations: dict[str, np.ndarray]) -> np.ndarray:
        colors = observations["frame"].mean(axis=(1, 2)) / 255
        return np.hstack([colors, np.zeros((len(colors), 4))]).astype(np.float32)

    show_teacher: Callable[[gym.Env], gym.Env] = TeacherActionWrapper
    vec_env = make_maniskill3_vec_env(
        "PickCube-v1", 1, "rgb", seed=0, image_size=36, max_episode_steps=5, backend="cpu", wrap=show_teacher
    )
    model = RPD("CnnPolicy", vec_env, teacher=FunctionTeacher(mean_color), n_steps=12, batch_size=12, n_epochs=1, device="cpu")
    model.learn(12)
    images = model.rollout_buffer.observations.reshape(12, 3, -1)
    labels = model.rollout_buffer.teacher_actions[:, 0]
    np.testing.assert_allclose(labels[:, :3], images.mean(axis=-1) / 255, atol=1e-5)
    assert len(np.unique(labels[:, 0])) == 12
    vec_env.close()

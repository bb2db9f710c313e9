"""What teachers see of the real simulator, and what they answer: `make test-maniskill3`."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.envs import (
    CubeState,
    make_maniskill3_env,
    make_maniskill3_vec_env,
    privileged_state,
    proprioception,
    task_instruction,
)
from sb3_rpd.teachers import FunctionTeacher, ScriptedTeacher


def test_sources_are_what_the_state_says(pick_cube: gym.Env) -> None:
    pick_cube.reset(seed=2)
    for action in np.random.default_rng(0).uniform(-1, 1, (3, 7)).astype(np.float32):
        observation = pick_cube.step(action)[0]
    positions, velocities, grasped, hand, goal, cube = np.split(observation, [9, 18, 19, 26, 29])
    np.testing.assert_array_equal(proprioception(pick_cube), np.hstack([positions, velocities, hand]))
    state = CubeState.unpack(privileged_state(pick_cube))
    np.testing.assert_array_equal(np.hstack([state.tcp_position, state.tcp_quaternion]), hand)
    np.testing.assert_array_equal(state.finger_positions, positions[7:])
    np.testing.assert_array_equal(state.joint_velocities, velocities)
    np.testing.assert_array_equal(np.hstack([state.cube_position, state.cube_quaternion]), cube[:7])
    np.testing.assert_array_equal(state.goal_position, goal)
    assert (state.is_grasped, state.acts_by_delta_pose) == (grasped[0], 1) == (0, 1)


def test_the_stack_and_tasks_without_a_privileged_state() -> None:
    env = make_maniskill3_env("StackCube-v1", control_mode="pd_joint_delta_pos", instruction="build a tower")
    observation, _ = env.reset(seed=0)
    state = CubeState.unpack(privileged_state(env))
    np.testing.assert_array_equal(np.hstack([state.cube_position, state.cube_quaternion]), observation[25:32])
    np.testing.assert_allclose(state.goal_position, observation[32:35] + np.array([0, 0, 0.04]), atol=1e-7)
    assert state.acts_by_delta_pose == 0
    assert task_instruction(env) == "build a tower"
    env.close()
    other = make_maniskill3_env("RollBall-v1")
    with pytest.raises(ValueError, match="knows PickCube-v1 and StackCube-v1, not RollBallEnv"):
        privileged_state(other)
    other.close()


@pytest.mark.usefixtures("gpu_is_the_cpu")
def test_rpd_trains_with_the_labels_of_the_states_that_it_visits() -> None:
    """The teacher answers with the cube's pose, which the student's observation has too."""

    def show_teacher(env: gym.Env) -> TeacherActionWrapper:
        return TeacherActionWrapper(env, observation={"privileged": privileged_state}, instruction=task_instruction)

    told = []

    def answer(observations: dict[str, np.ndarray], instructions: Any) -> np.ndarray:
        told.extend(instructions)
        return observations["privileged"][:, 9:16]

    for backend in ("cpu", "gpu"):
        vec_env = make_maniskill3_vec_env(
            "PickCube-v1", 1, seed=0, max_episode_steps=7, backend=backend, wrap=show_teacher, render_backend="cpu"
        )
        model = RPD(
            "MlpPolicy", vec_env, teacher=FunctionTeacher(answer), n_steps=50, batch_size=25, n_epochs=2, seed=0, device="cpu"
        )
        model.learn(100)
        states, labels = model.rollout_buffer.observations.reshape(50, 42), model.rollout_buffer.teacher_actions[:, 0]
        np.testing.assert_allclose(labels, np.clip(states[:, 29:36], -1, 1), atol=1e-6)
        # The second half of 14 episodes, each with the cube elsewhere
        assert len(np.unique(states[::7, 29])) > 5
        vec_env.close()
    assert set(told) == {"pick up the cube"}


@pytest.mark.parametrize("task", ["PickCube-v1", "StackCube-v1"])
def test_the_scripted_teacher_solves_it(task: str) -> None:
    env, teacher = make_maniskill3_env(task), ScriptedTeacher(task)
    teacher.setup(env.action_space)
    env.reset(seed=0)
    for _ in range(3):
        ended = False
        while not ended:
            _, _, terminated, truncated, info = env.step(teacher.predict({"privileged": privileged_state(env)[np.newaxis]})[0])
            ended = terminated or truncated
        assert info["is_success"]
        env.reset()
    env.close()

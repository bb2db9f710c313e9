"""The scripted teachers' view of the cube tasks (sb3_rpd/envs/maniskill2/privileged.py)."""

from typing import Any

import numpy as np
import pytest

from sb3_rpd.envs import CubeState, make_maniskill2_env, privileged_state

CUBE_TASKS = ("LiftCube-v0", "PickCube-v0", "StackCube-v0")


@pytest.mark.maniskill2
@pytest.mark.parametrize("task", CUBE_TASKS)
def test_values_are_the_simulators(task: str) -> None:
    env = make_maniskill2_env(task)
    observation, _ = env.reset(seed=1)
    for action in np.random.default_rng(0).uniform(-1, 1, (3, 7)).astype(np.float32):
        observation = env.step(action)[0]
    state = CubeState.unpack(privileged_state(env))
    # ManiSkill2's own state vector: qpos 9, qvel 9, base pose 7, tcp pose 7, then the task's entries
    np.testing.assert_array_equal(state.finger_positions, observation[7:9])
    np.testing.assert_array_equal(state.joint_velocities, observation[9:18])
    np.testing.assert_array_equal(np.hstack([state.tcp_position, state.tcp_quaternion]), observation[25:32])
    cube_pose = np.hstack([state.cube_position, state.cube_quaternion])
    if task == "LiftCube-v0":
        np.testing.assert_array_equal(cube_pose, observation[32:39])
        np.testing.assert_allclose(
            state.goal_position, observation[32:35] + np.array([0, 0, 0.2]), atol=1e-5
        )  # it has not moved
    elif task == "PickCube-v0":
        np.testing.assert_array_equal(state.goal_position, observation[32:35])
        np.testing.assert_array_equal(cube_pose, observation[38:45])
    else:
        np.testing.assert_array_equal(cube_pose, observation[32:39])
        np.testing.assert_allclose(state.goal_position, observation[39:42] + np.array([0, 0, 0.04]), atol=1e-7)
    assert state.is_grasped == 0
    assert state.acts_by_delta_pose == 1


@pytest.mark.maniskill2
@pytest.mark.parametrize("control_mode", ["pd_ee_target_delta_pose", "pd_ee_delta_pose_align", "pd_joint_delta_pos"])
def test_control_mode_is_told(control_mode: str) -> None:
    env = make_maniskill2_env("LiftCube-v0", control_mode=control_mode)
    env.reset(seed=0)
    assert CubeState.unpack(privileged_state(env)).acts_by_delta_pose == 0


@pytest.mark.maniskill2
@pytest.mark.parametrize("task", CUBE_TASKS)
def test_is_grasped_is_the_tasks_own_test(task: str) -> None:
    env = make_maniskill2_env(task)
    env.reset(seed=0)
    bare: Any = env.unwrapped
    cube, angle = (bare.cubeA, {}) if task == "StackCube-v0" else (bare.obj, {"max_angle": 30})
    cube.set_pose(bare.tcp.pose)  # between the open fingers
    seen = []
    for gripper in [-1.0] * 8 + [1.0] * 8:  # close, then open again
        env.step(np.array([0, 0, 0, 0, 0, 0, gripper], np.float32))
        seen.append(bool(CubeState.unpack(privileged_state(env)).is_grasped))
        assert seen[-1] == bare.agent.check_grasp(cube, **angle)
    assert seen[7]
    assert not seen[15]


@pytest.mark.maniskill2
def test_other_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match=r"LiftCube-v0, PickCube-v0 and StackCube-v0, not PlugChargerEnv"):
        privileged_state(make_maniskill2_env("PlugCharger-v0"))

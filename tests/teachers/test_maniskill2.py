"""The scripted controllers: actions worked out by hand, properties on random states, success in the simulator."""

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_rpd import RPD
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.envs import make_maniskill2_env, make_maniskill2_vec_env, privileged_state
from sb3_rpd.envs.cube_state import CUBE_STATE_SIZE, CUBE_STATE_SLICES
from sb3_rpd.teachers import SCRIPTED_TASKS, DegradedTeacher, ScriptedTeacher, evaluate_teacher
from sb3_rpd.teachers.quaternions import from_axis_angle, multiply

DOWN = np.array([0.0, 1.0, 0.0, 0.0])


def privileged(**fields: Any) -> np.ndarray:
    """One privileged state: the hand looks down 20 cm above the table with open fingers, the cube is far away."""
    values = {
        "tcp_position": (0, 0, 0.2),
        "tcp_quaternion": DOWN,
        "finger_positions": (0.04, 0.04),
        "cube_position": (0, 0.1, 0.02),
        "cube_quaternion": (1, 0, 0, 0),
        "goal_position": (0, 0, 0.22),
        "acts_by_delta_pose": 1,
        **fields,
    }
    state = np.zeros(CUBE_STATE_SIZE, np.float32)
    for name, value in values.items():
        state[CUBE_STATE_SLICES[name]] = value
    return state


def action(task: str, **fields: Any) -> np.ndarray:
    return ScriptedTeacher(task).predict({"privileged": privileged(**fields)[np.newaxis]})[0]


def test_approach_by_hand() -> None:
    # 5 cm aside the funnel is 6 cm high: the hand is to move by (0.03, -0.04, -0.12), 0.13 m; a hand that looks down has
    # the world's -y and -z as its y and z. Twice such a way is more than an action can ask for: it is cut to length 1
    expected = [0.03 / 0.13, 0.04 / 0.13, 0.12 / 0.13, 0, 0, 0, 1]
    np.testing.assert_allclose(action("PickCube-v0", cube_position=(0.03, -0.04, 0.02)), expected, atol=1e-6)


def test_approach_is_in_the_frame_of_the_hand() -> None:
    # a quarter turn of the hand about the vertical: its x axis is the world's y, its y axis the world's x
    turned = multiply(from_axis_angle(np.array([0, 0, 1.0]), np.array(np.pi / 2)), DOWN)
    answer = action("PickCube-v0", tcp_quaternion=turned, cube_position=(0.03, -0.04, 0.02))
    # it turns back about the world's z axis, clockwise seen from above, which is the positive sense about its own z axis
    np.testing.assert_allclose(answer, [-0.04 / 0.13, 0.03 / 0.13, 0.12 / 0.13, 0, 0, 1, 1], atol=1e-6)


def test_fingers_close_over_a_band() -> None:
    def grip(distance: float, opening: float = 0.08) -> float:
        fields = {"tcp_position": (0, 0, 0.02 + distance), "cube_position": (0, 0, 0.02)}
        return action("LiftCube-v0", finger_positions=(opening / 2, opening / 2), **fields)[6]

    assert [grip(distance) for distance in (0.03, 0.025, 0.0175, 0.01, 0)] == pytest.approx([1, 1, 0, -1, -1], abs=1e-4)
    # fingers around the cube stay closed 15 mm longer; fingers closed on nothing open
    assert [grip(0.0175, opening) for opening in (0.07, 0.056, 0.040, 0.03)] == pytest.approx(
        [-2 * 8 / 7 + 2, -1, -1, 1], abs=1
    )
    assert grip(0.0175, 0.05) == pytest.approx(-1)
    assert grip(0.0325, 0.05) == pytest.approx(0, abs=1e-4)
    assert grip(0.0175, 0.03) == pytest.approx(1)


def test_held_cube_goes_to_its_goal() -> None:
    held = {"tcp_position": (0, 0, 0.1), "cube_position": (0, 0, 0.1), "finger_positions": (0.02, 0.02)}
    # PickCube: to the goal, (0.02, 0.01, 0.02) away, 0.2 for each centimetre
    picked = action("PickCube-v0", goal_position=(0.02, 0.01, 0.12), **held)
    np.testing.assert_allclose(picked, [0.4, -0.2, -0.4, 0, 0, 0, -1], atol=1e-5)
    # LiftCube: straight up and 15 mm beyond the goal
    lifted = action("LiftCube-v0", goal_position=(0.02, 0.01, 0.12), **held)
    np.testing.assert_allclose(lifted, [0, 0, -0.7, 0, 0, 0, -1], atol=1e-5)
    # StackCube: within the funnel of the goal it goes down and aside at once
    above = action("StackCube-v0", goal_position=(0.01, 0, 0.08), **held)
    np.testing.assert_allclose(above, [0.2, 0, 0.4, 0, 0, 0, -1], atol=1e-5)


def test_cube_is_carried_over_the_edge_of_the_other() -> None:
    held = {"tcp_position": (0, 0, 0.02), "cube_position": (0, 0, 0.02), "finger_positions": (0.02, 0.02)}
    # 10 cm aside and 10 cm too low (4 for the other cube, 6 for the funnel): straight up first
    np.testing.assert_allclose(
        action("StackCube-v0", goal_position=(0.1, 0, 0.06), **held), [0, 0, -1, 0, 0, 0, -1], atol=1e-5
    )


def test_placed_cube_is_let_go_and_left_alone() -> None:
    fields = {"tcp_position": (0, 0, 0.06), "cube_position": (0, 0, 0.06), "finger_positions": (0.02, 0.02)}
    answer = action("StackCube-v0", goal_position=(0.01, 0.01, 0.06), **fields)
    np.testing.assert_allclose(answer, [0, 0, 0, 0, 0, 0, 1], atol=1e-5)


def test_hand_beside_the_cube_goes_up_first() -> None:
    answer = action("LiftCube-v0", tcp_position=(0, 0, 0.02), cube_position=(0.06, 0, 0.02))
    np.testing.assert_allclose(answer, [0, 0, -1, 0, 0, 0, 1], atol=1e-5)


def test_hand_leans_outward_and_slows_down_at_the_end_of_its_reach() -> None:
    # 0.715 m from the robot's axis; the wrist is 8.8 cm nearer and 21 cm higher, the shoulder 33.3 cm above the table
    stretch = np.hypot(0.715 - 0.088, 0.02 + 0.21 - 0.333)
    answer = action("LiftCube-v0", tcp_position=(0.1, 0, 0.02), cube_position=(0.2, 0, -0.06))
    # as much of a full action as is left to 0.72 m, in units of 0.1 m
    assert np.linalg.norm(answer[:3]) == pytest.approx((0.72 - stretch) / 0.1, abs=1e-4)
    # looking outward is a turn about the world's -y axis, the hand's y axis: half of 4 rad/m beyond 0.6 m, in units of 0.1 rad
    assert answer[3:6] == pytest.approx([0, 0.5 * 4 * (stretch - 0.6) / 0.1, 0], abs=1e-4)


@st.composite
def states(draw: st.DrawFn, n: int = 4) -> np.ndarray:
    """States all over the table, with a tilted hand and fingers at any opening, often around the cube."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = []
    for _ in range(n):
        tcp = rng.uniform([-0.2, -0.25, 0.0], [0.2, 0.25, 0.5])
        tilt = from_axis_angle(np.eye(3)[rng.integers(3)], rng.uniform(-0.8, 0.8))
        cube = tcp + rng.normal(0, 0.02, 3) if rng.random() < 0.7 else rng.uniform([-0.2, -0.2, 0.02], [0.2, 0.2, 0.1])
        goal = cube + rng.normal(0, 0.01, 3) if rng.random() < 0.5 else rng.uniform([-0.2, -0.2, 0.02], [0.2, 0.2, 0.5])
        fields = {"tcp_quaternion": multiply(tilt, DOWN), "finger_positions": rng.uniform(0, 0.04, 2), "goal_position": goal}
        rows.append(privileged(tcp_position=tcp, cube_position=cube, **fields))
    return np.stack(rows)


def test_the_same_approach_in_maniskill3_is_in_the_frame_of_the_base() -> None:
    turned = multiply(from_axis_angle(np.array([0, 0, 1.0]), np.array(np.pi / 2)), DOWN)
    answer = action("PickCube-v1", tcp_quaternion=turned, cube_position=(0.03, -0.04, 0.02))
    # As in the test above, but the way in the world; turning back is clockwise seen from above, and signs of turns are swapped
    np.testing.assert_allclose(answer, [0.03 / 0.13, -0.04 / 0.13, -0.12 / 0.13, 0, 0, 1, 1], atol=1e-6)


@given(states(), st.sampled_from((*SCRIPTED_TASKS, "PickCube-v1", "StackCube-v1")))
def test_actions_are_in_the_box_and_row_by_row(batch: np.ndarray, task: str) -> None:
    teacher = ScriptedTeacher(task)
    actions = teacher.predict({"privileged": batch})
    assert actions.shape == (4, 7)
    assert actions.dtype == np.float32
    assert np.isfinite(actions).all()
    assert np.abs(actions).max() <= 1
    # ManiSkill2 cuts the rotation to length 1; the translation would lose its direction where its entries are cut
    assert np.linalg.norm(actions[:, :3], axis=1).max() <= 1 + 1e-6
    assert np.linalg.norm(actions[:, 3:6], axis=1).max() <= 1 + 1e-6
    rows = np.concatenate([teacher.predict({"privileged": row[np.newaxis]}) for row in batch[::-1]])
    np.testing.assert_allclose(rows[::-1], actions, atol=1e-6)


@given(states(), st.sampled_from(SCRIPTED_TASKS), st.integers(0, 2**32))
def test_no_jumps(batch: np.ndarray, task: str, seed: int) -> None:
    teacher = ScriptedTeacher(task)
    step = np.random.default_rng(seed).normal(size=batch.shape)
    step *= 1e-5 / np.linalg.norm(step, axis=1, keepdims=True)
    change = teacher.predict({"privileged": batch + step}) - teacher.predict({"privileged": batch})
    # the steepest: while the fingers close, 2 / 0.015 per metre of distance, times the growth of that band with the opening
    assert np.linalg.norm(change, axis=1).max() <= 1000 * 1e-5


def test_unknown_task_and_unfit_environment() -> None:
    with pytest.raises(ValueError, match=r"'PegInsertionSide-v0', only for LiftCube-v0, .*, StackCube-v1"):
        ScriptedTeacher("PegInsertionSide-v0")
    teacher = ScriptedTeacher("LiftCube-v0")
    teacher.setup(spaces.Box(-1, 1, (7,)))
    for space in (spaces.Box(-1, 1, (4,)), spaces.Box(-2, 2, (7,)), spaces.Discrete(7)):
        with pytest.raises(TeacherError, match="control_mode='pd_ee_delta_pose'"):
            teacher.setup(space)
    with pytest.raises(TeacherError, match=r"offers 'frame' \(.*privileged_state"):
        teacher.predict({"frame": np.zeros((1, 8, 8, 3))})
    with pytest.raises(TeacherError, match="offers one array without a name"):
        teacher.predict(np.zeros((1, CUBE_STATE_SIZE)))


@pytest.mark.parametrize("row", [0, 2])
def test_state_of_another_control_mode_is_refused(row: int) -> None:
    states = np.stack([privileged(acts_by_delta_pose=float(i != row)) for i in range(3)])
    with pytest.raises(TeacherError, match=r"another control mode.*control_mode='pd_ee_delta_pose'"):
        ScriptedTeacher("PickCube-v0").predict({"privileged": states})


def show_privileged(env: gym.Env) -> gym.Env:
    return TeacherActionWrapper(env, observation={"privileged": privileged_state})


@pytest.mark.maniskill2
@pytest.mark.parametrize("control_mode", ["pd_ee_target_delta_pose", "pd_ee_delta_pose_align"])
def test_control_modes_with_the_same_action_space_are_refused(control_mode: str) -> None:
    venv = make_maniskill2_vec_env("LiftCube-v0", 2, control_mode=control_mode, wrap=show_privileged)
    assert venv.action_space == spaces.Box(-1, 1, (7,), np.float32)
    with pytest.raises(TeacherError, match="another control mode"):
        evaluate_teacher(ScriptedTeacher("LiftCube-v0"), venv, 2)
    degraded = DegradedTeacher(ScriptedTeacher("LiftCube-v0"), noise_std=0.1)
    with pytest.raises(TeacherError, match="another control mode"):
        RPD("MlpPolicy", venv, n_steps=8, batch_size=16, teacher=degraded, device="cpu").learn(64)


@pytest.mark.slow
@pytest.mark.maniskill2
def test_control_mode_in_another_process_is_seen() -> None:
    venv = make_maniskill2_vec_env(
        "LiftCube-v0", 1, control_mode="pd_ee_target_delta_pose", wrap=show_privileged, vec_env_cls=SubprocVecEnv
    )
    try:
        with pytest.raises(TeacherError, match="another control mode"):
            evaluate_teacher(ScriptedTeacher("LiftCube-v0"), venv, 1)
    finally:
        venv.close()


class Shaken(gym.Wrapper):
    """An environment in which each episode begins with 20 random actions."""

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self.env.reset(**kwargs)
        for shake in self.unwrapped.np_random.uniform(-1, 1, (20, 7)):
            observation, _, _, _, info = self.env.step(shake.astype(np.float32))
        return observation, info


@pytest.fixture(params=SCRIPTED_TASKS)
def task(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def simulator(task: str) -> Iterator[gym.Env]:
    env = make_maniskill2_env(task, max_episode_steps=80)
    yield env
    env.close()


@pytest.mark.slow
@pytest.mark.maniskill2
def test_success_of_100_episodes(task: str, simulator: gym.Env) -> None:
    env = TeacherActionWrapper(simulator, observation={"privileged": privileged_state})
    result = evaluate_teacher(ScriptedTeacher(task), env, 100)
    assert result.successes >= {"LiftCube-v0": 95, "PickCube-v0": 95, "StackCube-v0": 90}[task]
    assert result.mean_length <= 40


@pytest.mark.slow
@pytest.mark.maniskill2
def test_success_from_wherever_random_actions_lead(task: str, simulator: gym.Env) -> None:
    env = TeacherActionWrapper(Shaken(simulator), observation={"privileged": privileged_state})
    assert evaluate_teacher(ScriptedTeacher(task), env, 15, seed=1).successes >= 12

"""
Scripted controllers for ManiSkill2's LiftCube, PickCube and StackCube, and ManiSkill3's last two, by privileged state.

They are functions of the present state alone, so that they can label any state that a student gets into, and they are
continuous in it: phases (go above, descend, close, carry, release) are blended by the quantities that decide between
them. Where a controller switches at a threshold, a student that averages over what it saw near that threshold stands still.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.offers import describe_observations
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import cut
from sb3_rpd.envs.cube_state import CubeState
from sb3_rpd.teachers.quaternions import from_axis_angle, inverse, multiply, rotate, to_rotation_vector

# pd_ee_delta_pose: an action of 1 asks for so much; the arm makes 0.4 of it in one control step
_MAX_STEP = 0.1  # metres, and radians
# two steps of 0.4 of twice the error leave 4 % of it
_POSITION_GAIN = 2.0
# the hand's orientation matters less than its position
_ROTATION_GAIN = 0.5

# above the cube, the hand keeps inside a funnel: how far aside it may be at the bottom, slope, height, in metres
_FUNNEL_FREE, _FUNNEL_SLOPE, _FUNNEL_TOP = 0.012, 2.5, 0.06
# how far the cube is from the tcp, in metres: between the fingers, and no longer; surely not between them
_NEAR, _OUTSIDE = (0.010, 0.025), (0.020, 0.030)
# what counts as near grows by this much once the fingers have closed on the cube, so that a slip does not open them
_NEAR_SLACK = 0.015
# opening of the fingers in metres: too small to hold a cube (0.040, diagonally 0.057), small enough, wide enough to let it in
_EMPTY, _CLOSED, _OPEN = (0.030, 0.037), 0.058, 0.072

# LiftCube is solved at its goal height or above
_LIFT_MARGIN = 0.015
# a stacked cube is let go: sideways and height error in metres. The task wants 0.033 and 0.005
_PLACED_ASIDE, _PLACED_HEIGHT = (0.018, 0.030), (0.003, 0.008)

# The Panda's shoulder in the world frame; its flange in the frame of the hand; how much nearer to the robot the wrist is.
# From about _REACH between shoulder and wrist ManiSkill2's inverse kinematics has no solution, and the arm does not move.
_SHOULDER = np.array([-0.615, 0.0, 0.333])
_FLANGE = np.array([0.0, 0.0, -0.210])
_WRIST_OFFSET = 0.088
_REACH = 0.72
_SLOWEST = 0.3
# to reach further the hand leans outward: from this distance between shoulder and wrist, by radians a metre, at most
_LEAN = (0.60, 4.0, 0.6)
# the hand looking straight down, its x axis away from the robot
_DOWN = np.array([0.0, 1.0, 0.0, 0.0])


def ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 up to ``low``, 1 from ``high`` on, linear between them."""
    return np.asarray(np.clip((values - low) / (high - low), 0.0, 1.0))


def toward(offset: np.ndarray, height: np.ndarray) -> np.ndarray:
    """
    The way to a place at ``offset``, from above: first up to ``height`` over it, then also sideways.

    :param offset: From here to the place, shape (n, 3).
    :param height: How far over the place to be, given how far aside it is, shape (n,).
    """
    climb = offset[:, 2] + height
    freely = 1 - ramp(climb, 0.01, 0.03)
    return np.column_stack([offset[:, :2] * freely[:, np.newaxis], climb])


def funnel(aside: np.ndarray) -> np.ndarray:
    """How far above a place the hand must be that is so far aside."""
    return np.asarray(np.clip((aside - _FUNNEL_FREE) * _FUNNEL_SLOPE, 0.0, _FUNNEL_TOP))


class _Grasp(NamedTuple):
    """
    How to get hold of the cube.

    :param move: Where the hand is to go until it holds it: displacement in the world frame, shape (n, 3).
    :param close: How much the fingers are to close, 0 to 1, shape (n,).
    :param held: How much the cube is held, 0 to 1, shape (n,).
    """

    move: np.ndarray
    close: np.ndarray
    held: np.ndarray


def _grasp(state: CubeState) -> _Grasp:
    offset = state.cube_position - state.tcp_position
    distance = np.linalg.norm(offset, axis=1)
    opening = state.finger_positions.sum(axis=1)
    narrow = 1 - ramp(opening, _CLOSED, _OPEN)
    # not where the fingers have closed on nothing: there they have to open first
    could_hold = ramp(opening, *_EMPTY)
    close = (1 - ramp(distance - _NEAR_SLACK * narrow * could_hold, *_NEAR)) * could_hold
    # fingers that are not open yet would come down on top of the cube
    height = np.maximum(funnel(np.linalg.norm(offset[:, :2], axis=1)), _FUNNEL_TOP * narrow * ramp(distance, *_OUTSIDE))
    return _Grasp(toward(offset, height), close, held=close * narrow)


def blend(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return np.asarray(first + weight[:, np.newaxis] * (second - first))


def _lift(state: CubeState) -> np.ndarray:
    grasp = _grasp(state)
    to_goal = np.zeros_like(grasp.move)
    to_goal[:, 2] = state.goal_position[:, 2] + _LIFT_MARGIN - state.cube_position[:, 2]
    return delta_pose(state, blend(grasp.move, to_goal, grasp.held), grasp.close)


def _pick(state: CubeState) -> np.ndarray:
    grasp = _grasp(state)
    return delta_pose(state, blend(grasp.move, state.goal_position - state.cube_position, grasp.held), grasp.close)


def _stack(state: CubeState) -> np.ndarray:
    grasp = _grasp(state)
    to_goal = state.goal_position - state.cube_position
    aside = np.linalg.norm(to_goal[:, :2], axis=1)
    placed = (1 - ramp(aside, *_PLACED_ASIDE)) * (1 - ramp(np.abs(to_goal[:, 2]), *_PLACED_HEIGHT))
    move = blend(grasp.move, toward(to_goal, funnel(aside)), grasp.held)
    return delta_pose(state, move * (1 - placed)[:, np.newaxis], grasp.close * (1 - placed))


def _stretch(position: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Distance between the arm's shoulder and its wrist, for hands at these poses."""
    flange = position + rotate(orientation, _FLANGE) - _SHOULDER
    return np.asarray(np.hypot(np.linalg.norm(flange[:, :2], axis=1) - _WRIST_OFFSET, flange[:, 2]))


def _leaning(position: np.ndarray) -> np.ndarray:
    """The orientation that the hand should have at a position: looking down, far from the robot also outward."""
    start, slope, largest = _LEAN
    angle = np.clip((_stretch(position, _DOWN) - start) * slope, 0.0, largest)
    outward = position[:, :2] - _SHOULDER[:2]
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    axis = np.column_stack([outward[:, 1], -outward[:, 0], np.zeros_like(angle)])
    return multiply(from_axis_angle(axis, angle), _DOWN)


def delta_pose(state: CubeState, move: np.ndarray, close: np.ndarray) -> np.ndarray:
    """
    The action of ``pd_ee_delta_pose``, whose translation and rotation are in the frame of the hand.

    :param state: The state of n environments.
    :param move: Displacement in the world frame, shape (n, 3).
    :param close: How much the fingers are to close, 0 to 1, shape (n,).
    :return: Actions of shape (n, 7), float32, within [-1, 1].
    """
    position, orientation = state.tcp_position, state.tcp_quaternion
    longest = np.clip((_REACH - _stretch(position, orientation)) / _MAX_STEP, _SLOWEST, 1.0)
    translation = _shorten(rotate(inverse(orientation), move) * _POSITION_GAIN / _MAX_STEP, longest)
    turn = to_rotation_vector(multiply(inverse(orientation), _leaning(position)))
    rotation = _shorten(turn * _ROTATION_GAIN / _MAX_STEP, np.ones_like(close))
    return np.column_stack([translation, rotation, 1 - 2 * close]).astype(np.float32)


def _shorten(vectors: np.ndarray, longest: np.ndarray) -> np.ndarray:
    """Vectors of shape (n, 3), none longer than its entry of ``longest``, their directions kept."""
    return np.asarray(vectors * (longest / np.maximum(longest, np.linalg.norm(vectors, axis=1)))[:, np.newaxis])


_CONTROLLERS: dict[str, Callable[[CubeState], np.ndarray]] = {
    "LiftCube-v0": _lift,
    "PickCube-v0": _pick,
    "StackCube-v0": _stack,
}

#: The tasks of ManiSkill2 that have a scripted controller.
SCRIPTED_TASKS = tuple(_CONTROLLERS)

#: Those of ManiSkill3, and which of the others they are.
_MANISKILL3_TASKS = {"PickCube-v1": "PickCube-v0", "StackCube-v1": "StackCube-v0"}


def for_maniskill3(state: CubeState, actions: np.ndarray) -> np.ndarray:
    """
    The same actions in ManiSkill3's ``pd_ee_delta_pose``: in the frame of the robot's base, which is that of the world but for
    its place, and with rotations the other way round, as ManiSkill3 3.0.1 has them.

    :param state: The state of n environments.
    :param actions: Actions of ManiSkill2's ``pd_ee_delta_pose``, shape (n, 7).
    :return: Actions of shape (n, 7), float32.
    """
    translation, rotation = (rotate(state.tcp_quaternion, part) for part in (actions[:, :3], actions[:, 3:6]))
    return np.clip(np.column_stack([translation, -rotation, actions[:, 6]]), -1, 1).astype(np.float32)


class ScriptedTeacher(Teacher):
    """
    A controller that solves a cube task, for the control mode ``pd_ee_delta_pose``.

    It reads the entry ``"privileged"`` of its observations, which the environment offers by
    ``TeacherActionWrapper(env, observation={"privileged": privileged_state})``. ``DegradedTeacher`` makes it worse.

    :param task: One of ``SCRIPTED_TASKS``, or ManiSkill3's PickCube-v1 or StackCube-v1.
    :raises ValueError: if there is no controller for the task.
    """

    def __init__(self, task: str) -> None:
        known = (*SCRIPTED_TASKS, *_MANISKILL3_TASKS)
        if task not in known:
            raise ValueError(f"There is no scripted controller for {task!r}, only for {', '.join(known)}.")
        self.task = task

    def __repr__(self) -> str:
        return f"ScriptedTeacher({self.task!r})"

    def setup(self, action_space: spaces.Space) -> None:
        if not (isinstance(action_space, spaces.Box) and action_space == spaces.Box(-1, 1, (7,), action_space.dtype)):
            raise TeacherError(
                f"The scripted teacher of {self.task} acts in pd_ee_delta_pose, a Box of 7 numbers in [-1, 1]; the "
                f"environment's action space is {cut(action_space)}. Make it with control_mode='pd_ee_delta_pose'."
            )

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        if not isinstance(observations, dict) or "privileged" not in observations:
            raise TeacherError(
                f"The scripted teacher needs the observation 'privileged', the environment offers "
                f"{describe_observations(observations)}: wrap it in "
                "TeacherActionWrapper(env, observation={'privileged': privileged_state})."
            )
        state = CubeState.unpack(observations["privileged"].astype(np.float64))
        # an action space cannot tell pd_ee_delta_pose from pd_ee_target_delta_pose or pd_ee_delta_pose_align
        if (state.acts_by_delta_pose < 0.5).any():
            raise TeacherError(
                f"The scripted teacher of {self.task} acts in pd_ee_delta_pose, and the environment has another control mode "
                "with the same action space. Make it with control_mode='pd_ee_delta_pose'."
            )
        if self.task in _MANISKILL3_TASKS:
            return for_maniskill3(state, _CONTROLLERS[_MANISKILL3_TASKS[self.task]](state))
        return _CONTROLLERS[self.task](state)

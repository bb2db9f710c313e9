"""What the hyperparameters that come with this package name: environments, what their teachers see, and the teachers."""

from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.envs import ASSET_FREE_TASKS, privileged_state
from sb3_rpd.teachers import FunctionTeacher, ScriptedTeacher


def register_maniskill2() -> None:
    """
    Give ManiSkill2's tasks ids of gymnasium, "sb3_rpd/LiftCube-v0" and so on, since the zoo takes nothing else: what
    ``make_maniskill2_env`` makes, whose arguments are ``env_kwargs`` there. The simulator is not imported before one is made.
    """
    for task in ASSET_FREE_TASKS:
        name = f"sb3_rpd/{task}"
        if name not in gym.registry:
            gym.register(
                name,
                entry_point="sb3_rpd.envs:make_maniskill2_env",
                kwargs={"task": task},
                disable_env_checker=True,
                order_enforce=False,
            )


def show_privileged_state(env: gym.Env[Any, Any]) -> TeacherActionWrapper:
    """
    :param env: One of ManiSkill2's cube tasks.
    :return: The environment, which shows a scripted teacher what it wants to see.
    """
    return TeacherActionWrapper(env, observation={"privileged": privileged_state})


def lift_cube() -> ScriptedTeacher:
    """:return: The scripted teacher of LiftCube."""
    return ScriptedTeacher("LiftCube-v0")


def pick_cube() -> ScriptedTeacher:
    """:return: The scripted teacher of PickCube."""
    return ScriptedTeacher("PickCube-v0")


def cart_pole() -> FunctionTeacher:
    """:return: A teacher for CartPole that balances the pole in the middle of the track."""
    return FunctionTeacher(_balance)


def pendulum() -> FunctionTeacher:
    """:return: A teacher for Pendulum that swings up and balances."""
    return FunctionTeacher(_swing_up)


def show_state(env: gym.Env[Any, Any]) -> TeacherActionWrapper:
    """
    :param env: The zoo's CartPoleNoVel, whose velocities are hidden.
    :return: The environment, which shows a teacher the whole state under the name "state".
    """
    return TeacherActionWrapper(env, observation={"state": _whole_state})


def cart_pole_state() -> FunctionTeacher:
    """:return: The teacher of ``cart_pole``, which looks at the "state"."""
    return FunctionTeacher(lambda observations: _balance(observations["state"]))


def _whole_state(env: gym.Env[Any, Any]) -> np.ndarray:
    simulation: Any = env.unwrapped
    return np.asarray(simulation.state)


def _balance(observations: np.ndarray) -> np.ndarray:
    """
    A linear feedback of the state. Its signs are all the same: a cart that is too far to the right goes still further, which
    tilts the pole to the left, and then follows the pole back.

    :param observations: Position and velocity of the cart, angle and angular velocity of the pole, of shape (n, 4).
    :return: 1 (push to the right) or 0, of shape (n,).
    """
    return np.where(observations @ np.array([1.0, 2.0, 30.0, 8.0]) > 0.0, 1, 0)


def _swing_up(observations: np.ndarray) -> np.ndarray:
    """
    Energy control (Astrom and Furuta, Swinging up a pendulum by energy control, 2000): far from the top push along the
    velocity while energy is missing, near it a linear feedback.

    :param observations: Cosine and sine of the angle (0 is up) and angular velocity, of shape (n, 3).
    :return: Torques, of shape (n, 1).
    """
    cosine, sine, velocity = observations.T
    # Of gymnasium's pendulum: gravity 10, mass 1, length 1, moment of inertia 1/3; both energies are 0 at rest at the top
    energy = velocity**2 / 6.0 + 5.0 * (cosine - 1.0)
    feedback = -10.0 * sine - 2.0 * velocity
    return np.clip(np.where(cosine > 0.9, feedback, np.sign(-energy * velocity) * 2.0), -2.0, 2.0)[:, np.newaxis]

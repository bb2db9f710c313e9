"""Which actions are allowed in a state, for models that have to be told (sb3-contrib's MaskablePPO)."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.offers import describe_observations
from sb3_rpd.common.questions import SINGLE_ARRAY
from sb3_rpd.common.type_aliases import RawObservation, TeacherInfo
from sb3_rpd.common.wording import cut

#: The names under which an environment may offer them.
MASK_NAMES = ("action_mask", "action_masks")


#: The method by which an environment says them, to sb3-contrib.
MASK_METHOD = "action_masks"


def offers_masks(env: VecEnv | gym.Env[Any, Any]) -> bool:
    """
    :param env: Environments, or one.
    :return: Whether they say what is allowed.
    """
    if isinstance(env, VecEnv):
        return env.has_attr(MASK_METHOD)
    try:
        env.get_wrapper_attr(MASK_METHOD)
    except AttributeError:
        return False
    return True


def masks_of(env: VecEnv | gym.Env[Any, Any]) -> np.ndarray:
    """
    :param env: Environments, or one, which say what is allowed.
    :return: Which values are allowed in their present states, of shape (n_envs, choices), or (choices,) for one.
    """
    return (
        np.stack(env.env_method(MASK_METHOD)) if isinstance(env, VecEnv) else np.asarray(env.get_wrapper_attr(MASK_METHOD)())
    )


def n_choices_by_dimension(space: spaces.Space) -> np.ndarray:
    """
    :param space: An action space: Discrete, MultiDiscrete or MultiBinary.
    :return: How many values each number of an action has.
    """
    if isinstance(space, spaces.Discrete):
        return np.array([space.n])
    if isinstance(space, spaces.MultiDiscrete):
        return space.nvec
    assert isinstance(space, spaces.MultiBinary)
    return np.full(int(np.prod(space.shape)), 2)


def with_action_mask(info: TeacherInfo, mask: np.ndarray) -> TeacherInfo:
    """
    :param info: What an environment offers its teacher.
    :param mask: Which values are allowed there, those of several numbers side by side.
    :return: The same, with the mask where an observation is offered, and no mask beside it.
    """
    if "observation" not in info:
        return info
    observation = info["observation"]
    named = observation if isinstance(observation, dict) else {SINGLE_ARRAY: observation}
    return info if named.keys() & MASK_NAMES else {**info, "observation": {**named, MASK_NAMES[0]: mask}}


def find_action_masks(observations: RawObservation, space: spaces.Space) -> np.ndarray:
    """
    :param observations: What the environment offers, each array with first axis n.
    :param space: The model's action space: Discrete, MultiDiscrete or MultiBinary.
    :return: Which values are allowed, as booleans of shape (n, choices), the choices of several numbers side by side.
    :raises TeacherError: if the environment offers no masks, or masks of another shape.
    """
    offered = observations if isinstance(observations, dict) else {}
    name = next((name for name in MASK_NAMES if name in offered), None)
    if name is None:
        raise TeacherError(
            "The teacher model was trained with action masks, and without them it may give actions that are forbidden. The "
            f"environment offers {describe_observations(observations)}: let its TeacherActionWrapper(observation=...) offer "
            "'action_mask' beside the observation, true where an action is allowed."
        )
    n_choices = int(n_choices_by_dimension(space).sum())
    masks = np.asarray(offered[name])
    if masks.shape[1:] != (n_choices,):
        raise TeacherError(f"{name!r} has the shape {masks.shape[1:]} in each state; {cut(space)} has {n_choices} choices.")
    return masks.astype(bool)


def only_allowed(actions: np.ndarray, masks: np.ndarray, space: spaces.Space) -> np.ndarray:
    """
    :param actions: Actions of shape (n, ...).
    :param masks: What ``find_action_masks`` found.
    :param space: The model's action space.
    :return: The actions; as floats with rows of NaN for the states in which none is allowed, if there are any.
    """
    ends = np.cumsum(n_choices_by_dimension(space))[:-1]
    possible = np.all([group.any(axis=1) for group in np.split(masks, ends, axis=1)], axis=0)
    if possible.all():
        return actions
    return np.where(possible.reshape(-1, *[1] * (actions.ndim - 1)), actions, np.nan)

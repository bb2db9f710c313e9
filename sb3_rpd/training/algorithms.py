"""Algorithms by name."""

import inspect
from collections.abc import Mapping
from importlib import import_module

from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd.rpd import RPD
from sb3_rpd.rpd.imitation_training import ImitationTraining
from sb3_rpd.teachers.action_masks import MASK_METHOD, offers_masks

#: Where each is. They are imported when they are asked for: some need sb3-contrib.
_MODULES: Mapping[str, str] = {
    "RPD": "sb3_rpd.rpd",
    "RecurrentRPD": "sb3_rpd.recurrent_rpd",
    "MaskableRPD": "sb3_rpd.maskable_rpd",
}
ALGORITHMS = tuple(_MODULES)

#: Arguments of an algorithm that are settings of their own in a file, or none.
_NOT_PASSED_ON = ("self", "policy", "env", "teacher", "seed", "_init_setup_model")


def find_algorithm(name: str) -> type[RPD]:
    """
    :param name: One of ``ALGORITHMS``.
    :return: Its class. The type is that of RPD, whose keyword arguments they have in common.
    :raises ValueError: if there is none of that name.
    :raises ImportError: if it needs sb3-contrib, and that is not installed.
    """
    if name not in _MODULES:
        raise ValueError(f"There is no algorithm {name!r}, only {', '.join(ALGORITHMS)}.")
    algorithm: type[RPD] = getattr(import_module(_MODULES[name]), name)
    return algorithm


def arguments_of(algorithm: type[ImitationTraining]) -> tuple[str, ...]:
    """
    :param algorithm: An algorithm.
    :return: The names of its arguments that a settings file may have.
    """
    return tuple(name for name in inspect.signature(algorithm.__init__).parameters if name not in _NOT_PASSED_ON)


def policy_for(algorithm: str, observation_space: spaces.Space) -> str:
    """
    :param algorithm: One of ``ALGORITHMS``.
    :param observation_space: What the student observes.
    :return: The name of the policy for it.
    """
    memory = "Lstm" if algorithm == "RecurrentRPD" else ""
    if isinstance(observation_space, spaces.Dict):
        return f"MultiInput{memory}Policy"
    return f"Cnn{memory}Policy" if is_image_space(observation_space) else f"Mlp{memory}Policy"


def check_environment(algorithm: str, env: VecEnv) -> None:
    """
    :param algorithm: One of ``ALGORITHMS``.
    :param env: The environments that it is to train in.
    :raises ValueError: if they do not say what it has to know.
    """
    if algorithm == "MaskableRPD" and not offers_masks(env):
        raise ValueError(
            f"MaskableRPD has to be told what is forbidden, and the environment has no {MASK_METHOD}(): give it this method, "
            "put an ActionMasker of sb3_contrib around it, or take `algorithm: RPD`."
        )

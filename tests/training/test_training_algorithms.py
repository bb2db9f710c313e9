"""Algorithms by name: their classes, what a settings file may say to them, and their policies by observation."""

import pytest
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, MaskedEnv, SpacesEnv

from sb3_rpd.training.algorithms import ALGORITHMS, arguments_of, check_environment, find_algorithm, policy_for

PARENTS = dict(zip(ALGORITHMS, (PPO, RecurrentPPO, MaskablePPO), strict=True))


@pytest.mark.parametrize("name", ALGORITHMS)
def test_names_policies_and_arguments(name: str) -> None:
    algorithm, parent = find_algorithm(name), PARENTS[name]
    assert (algorithm.__name__, issubclass(algorithm, parent)) == (name, True)
    for space in (DICT_SPACE, IMAGE_SPACE, spaces.Box(-1.0, 1.0, (3,))):
        # an alias of that class alone
        assert policy_for(name, space) in parent.policy_aliases
    assert ("rollout_buffer_class" in arguments_of(algorithm)) == (name != "RecurrentRPD")
    assert {"n_steps", "imitation_coef", "label_every"} < set(arguments_of(algorithm))
    assert not {"self", "env", "teacher", "policy", "seed", "_init_setup_model"} & set(arguments_of(algorithm))


def test_images_and_dicts_have_policies_of_their_own() -> None:
    names = [policy_for("RecurrentRPD", space) for space in (DICT_SPACE, IMAGE_SPACE, spaces.Discrete(3))]
    assert names == ["MultiInputLstmPolicy", "CnnLstmPolicy", "MlpLstmPolicy"]
    assert policy_for("MaskableRPD", IMAGE_SPACE) == "CnnPolicy"


def test_masks_have_to_be_there() -> None:
    discrete = ACTION_SPACES["discrete"]
    unmasked, masked = make_vec_env(lambda: SpacesEnv(discrete)), make_vec_env(lambda: MaskedEnv(discrete))
    for name in ALGORITHMS:
        check_environment(name, masked)
    check_environment("RecurrentRPD", unmasked)
    with pytest.raises(ValueError, match=r"has no action_masks\(\)"):
        check_environment("MaskableRPD", unmasked)


def test_unknown_names_are_named() -> None:
    with pytest.raises(ValueError, match="There is no algorithm 'SAC', only RPD, RecurrentRPD, MaskableRPD"):
        find_algorithm("SAC")

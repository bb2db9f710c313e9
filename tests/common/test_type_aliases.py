"""The shared types say what the parts of the package really hand to one another."""

from typing import get_args, get_origin

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, SpacesEnv

from sb3_rpd import RPD, TeacherActionWrapper
from sb3_rpd.common.type_aliases import RawObservation, TeacherInfo
from sb3_rpd.common.wrappers import TEACHER_INFO_KEY

BOX = ACTION_SPACES["box"]


@pytest.mark.parametrize("observation_space", [None, IMAGE_SPACE, DICT_SPACE], ids=["vector", "image", "dict"])
def test_what_a_teacher_is_asked_with_is_a_raw_observation(observation_space: spaces.Space | None) -> None:
    kinds = tuple(get_origin(kind) or kind for kind in get_args(RawObservation))
    seen = []

    def teacher(observations: RawObservation) -> np.ndarray:
        seen.append(observations)
        return np.zeros((2, *BOX.shape), np.float32)

    env = make_vec_env(lambda: SpacesEnv(BOX, observation_space), n_envs=2)
    policy = "MultiInputPolicy" if isinstance(observation_space, spaces.Dict) else "MlpPolicy"
    RPD(policy, env, teacher=teacher, n_steps=2, batch_size=4, label_batch_size=2).learn(4)
    assert seen
    for observations in seen:
        assert isinstance(observations, kinds)
        arrays = observations.values() if isinstance(observations, dict) else [observations]
        assert all(isinstance(array, np.ndarray) and len(array) == 2 for array in arrays)


def test_what_an_environment_offers_is_a_teacher_info() -> None:
    def velocity(env: gym.Env) -> np.ndarray:
        return np.ones(1, np.float32)

    wrapped = TeacherActionWrapper(SpacesEnv(BOX), observation={"velocity": velocity}, instruction="go on")
    _, info = wrapped.reset(seed=0)
    offered = info[TEACHER_INFO_KEY]
    assert isinstance(offered, get_origin(TeacherInfo))
    key_type, _ = get_args(TeacherInfo)
    assert all(isinstance(key, key_type) for key in offered)
    # Of "observation", "instruction" and "action" those that it was told to offer
    assert offered.keys() == {"observation", "instruction"}
    assert offered["observation"]["velocity"].shape == (1,)

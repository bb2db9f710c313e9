"""From the environment's observations to the policy's: numbers worked out with numpy."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecFrameStack, VecNormalize, VecTransposeImage
from toy_envs import ACTION_SPACES, DICT_SPACE, SpacesEnv

from sb3_rpd.common.errors import ExportError
from sb3_rpd.export.raw_observations import RawObservations

LAST, FIRST = spaces.Box(0, 255, (36, 38, 3), np.uint8), spaces.Box(0, 255, (3, 36, 38), np.uint8)


def environment(observation_space: spaces.Space) -> DummyVecEnv:
    return DummyVecEnv([lambda: SpacesEnv(ACTION_SPACES["box"], observation_space)])


def student(env: VecEnv) -> PPO:
    kind = "MultiInputPolicy" if isinstance(env.observation_space, spaces.Dict) else "MlpPolicy"
    return PPO(kind, env, n_steps=16, batch_size=16, device="cpu")


def prepared(module: RawObservations, **inputs: np.ndarray) -> Any:
    return module({name: th.as_tensor(array) for name, array in inputs.items()})


@settings(max_examples=15)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple),
    clip=st.sampled_from([0.5, 10.0]),
    epsilon=st.sampled_from([0.0, 0.25]),
    seed=st.integers(0, 99),
)
def test_normalization_is_in_float64(shape: tuple[int, ...], clip: float, epsilon: float, seed: int) -> None:
    env = VecNormalize(environment(spaces.Box(-np.inf, np.inf, shape, np.float32)), clip_obs=clip, epsilon=epsilon)
    rng = np.random.default_rng(seed)
    env.obs_rms.mean = rng.normal(size=shape) * 1e6
    env.obs_rms.var = rng.uniform(0.25, 4.0, shape)
    raw = (env.obs_rms.mean + rng.normal(size=(3, *shape))).astype(np.float32)
    given = prepared(RawObservations(student(env), env, None), observation=raw)
    expected = np.clip((raw.astype(np.float64) - env.obs_rms.mean) / np.sqrt(env.obs_rms.var + epsilon), -clip, clip)
    assert given.dtype == th.float32
    np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-9)


def test_statistics_of_rewards_alone_change_no_observation() -> None:
    env = VecNormalize(environment(spaces.Box(-9.0, 9.0, (4,), np.float32)), norm_obs=False)
    raw = np.array([[100.0, -0.5, 3.0, 0.0]], np.float32)
    np.testing.assert_array_equal(prepared(RawObservations(student(env), env, None), observation=raw), raw)


def test_each_entry_of_a_dict_goes_its_own_way() -> None:
    space = spaces.Dict({"image": LAST, "count": spaces.Discrete(4), "state": DICT_SPACE["state"]})
    env = VecNormalize(environment(space), norm_obs_keys=["state"], epsilon=0.0)
    env.obs_rms["state"].mean, env.obs_rms["state"].var = np.array([1.0, 0.0, -1.0]), np.array([4.0, 0.25, 1.0])
    module = RawObservations(student(env), env, None)
    assert module.spaces == space.spaces
    image = np.random.default_rng(0).integers(0, 256, (2, *LAST.shape), dtype=np.uint8)
    given = prepared(module, state=np.float32([[2, 1, 0], [0, 0, 0]]), count=np.array([3, 1]), image=image)
    np.testing.assert_array_equal(given["state"], [[0.5, 2.0, 1.0], [-0.5, 0.0, 1.0]])
    np.testing.assert_array_equal(given["count"], [3, 1])
    np.testing.assert_array_equal(given["image"], np.stack([image[..., 0], image[..., 1], image[..., 2]], axis=1))
    assert given["image"].dtype == th.uint8


@pytest.mark.parametrize(
    ("env", "without_env", "channels_first", "taken"),
    [
        # the environment says it
        (lambda: environment(LAST), False, None, LAST),
        (lambda: environment(FIRST), False, None, FIRST),
        (lambda: VecFrameStack(environment(LAST), 2), False, None, spaces.Box(0, 255, (36, 38, 6), np.uint8)),
        # already so below the statistics of the rewards
        (lambda: VecNormalize(VecTransposeImage(environment(LAST)), norm_obs=False), False, None, LAST),
        # nobody does: as in most environments
        (lambda: environment(LAST), True, None, LAST),
        (lambda: environment(FIRST), True, None, LAST),
        # the user says it
        (lambda: environment(FIRST), True, True, FIRST),
        (lambda: environment(FIRST), False, False, LAST),
    ],
)
def test_images_are_taken_as_the_environment_has_them(
    env: Any, without_env: bool, channels_first: bool | None, taken: spaces.Box
) -> None:
    model = student(env())
    if without_env:
        model.env = None
    module = RawObservations(model, None, channels_first)
    assert module.spaces == {"observation": taken}
    raw = np.random.default_rng(0).integers(0, 256, (2, *taken.shape), dtype=np.uint8)
    given = prepared(module, observation=raw)
    assert given.shape == (2, *model.observation_space.shape)
    np.testing.assert_array_equal(given, raw if taken == FIRST else np.moveaxis(raw, -1, 1))


def test_statistics_of_something_else_are_refused() -> None:
    model = student(environment(spaces.Box(-1.0, 1.0, (4,))))
    other = VecNormalize(environment(spaces.Box(-1.0, 1.0, (7,))))
    with pytest.raises(ExportError, match=r"have the shape \(7,\), and the student's observation has \(4,\)"):
        RawObservations(model, other, None)
    with pytest.raises(ExportError, match=r"of 'observation' have the shape \(7,\), .* has none of that name"):
        RawObservations(student(environment(DICT_SPACE)), other, None)
    named = VecNormalize(environment(spaces.Dict({"force": spaces.Box(-1.0, 1.0, (2,))})))
    with pytest.raises(ExportError, match=r"of 'force' have the shape \(2,\), .* has none of that name"):
        RawObservations(student(environment(DICT_SPACE)), named, None)
    stacked = VecFrameStack(VecNormalize(environment(spaces.Box(-1.0, 1.0, (4,)))), 2)
    with pytest.raises(ExportError, match="below a VecFrameStack cannot be exported; put it on top"):
        RawObservations(student(stacked), stacked.venv, None)

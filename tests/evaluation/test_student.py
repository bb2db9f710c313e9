"""Students act as model.predict does by hand: with statistics, memory, masks and the environment's own observations."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, MaskedEnv, SpacesEnv, masks_for, naming_env
from toy_students import Acted, Watched, sharpen

from sb3_rpd import TeacherActionWrapper, TeacherError
from sb3_rpd.evaluation import Student, evaluate_teacher
from sb3_rpd.teachers import SB3Teacher

BOX, DISCRETE = ACTION_SPACES["box"], ACTION_SPACES["discrete"]
SETTINGS: dict[str, Any] = dict(n_steps=8, batch_size=8, seed=0, device="cpu")


def watched(*args: Any) -> DummyVecEnv:
    return make_vec_env(lambda: Watched(SpacesEnv(*args)), 2, seed=0)


def act(student: Student, env: DummyVecEnv, n_episodes: int = 6) -> list[Acted]:
    """:return: What it did, beginning with the first episodes."""
    for one in env.envs:
        one.env.episodes.clear()
    evaluate_teacher(student, env, n_episodes, needs_success=False)
    return [episode for one in env.envs for episode in one.env.episodes if episode.actions]


@pytest.mark.parametrize("action_space", ["box", "discrete"])
@pytest.mark.parametrize("policy_kwargs", [{}, {"shared_lstm": True, "enable_critic_lstm": False}], ids=["two", "shared"])
def test_a_memory_goes_through_an_episode_and_ends_with_it(action_space: str, policy_kwargs: dict[str, Any]) -> None:
    env = watched(ACTION_SPACES[action_space])
    model = RecurrentPPO("MlpLstmPolicy", env, policy_kwargs={"lstm_hidden_size": 8, **policy_kwargs}, **SETTINGS)
    sharpen(model)
    seen = act(Student(model), env)
    assert len(seen) >= 6
    forgetful = []
    for episode in seen:
        states, expected = None, []
        for observation in episode.observations[: len(episode.actions)]:
            action, states = model.predict(observation, state=states, deterministic=True)
            expected.append(action)
            forgetful.append(model.predict(observation, deterministic=True)[0])
        np.testing.assert_allclose(episode.actions, expected, atol=1e-6)
    # otherwise nothing would be tested
    assert np.abs(np.concatenate([episode.actions for episode in seen]) - forgetful).max() > 0.1


def test_masks_are_those_of_the_states() -> None:
    for name in ("discrete", "multidiscrete", "multibinary"):
        # this environment asserts that no action is forbidden
        env = make_vec_env(lambda space=ACTION_SPACES[name]: Watched(MaskedEnv(space)), 2, seed=0)
        model = MaskablePPO("MlpPolicy", env, **SETTINGS)
        sharpen(model)
        seen = act(Student(model), env)
        observations = np.concatenate([episode.observations[: len(episode.actions)] for episode in seen])
        masks = masks_for(ACTION_SPACES[name], observations[:, 0])
        actions = np.concatenate([episode.actions for episode in seen])
        expected, _ = model.predict(observations, deterministic=True, action_masks=masks)
        np.testing.assert_array_equal(actions, expected)
        assert (expected != model.predict(observations, deterministic=True)[0]).any()


def test_statistics_and_images_are_as_in_training() -> None:
    space = spaces.Dict({**DICT_SPACE.spaces, "vector": spaces.Box(-1.0, 1.0, (2,), np.float32)})
    env = watched(BOX, space)
    normalized = VecNormalize(env, norm_obs_keys=["vector"])
    policy_kwargs = {"features_extractor_kwargs": {"cnn_output_dim": 4}}
    model = PPO("MultiInputPolicy", normalized, policy_kwargs=policy_kwargs, **SETTINGS).learn(8)
    sharpen(model)
    # the model's own statistics, which the evaluation does not change
    before = normalized.obs_rms["vector"].mean.copy()
    seen = act(Student(model), env, 4)
    np.testing.assert_array_equal(normalized.obs_rms["vector"].mean, before)
    for episode in seen:
        observation = normalized.normalize_obs(episode.observations[0])
        np.testing.assert_allclose(episode.actions[0], model.predict(observation, deterministic=True)[0], atol=1e-6)


def test_what_a_teacher_is_shown_is_not_what_a_student_sees() -> None:
    read: list[Any] = []

    def noise(env: gym.Env[Any, Any]) -> np.ndarray:
        read.append(env)
        return np.full(4, 100.0, np.float32)

    def controller(env: gym.Env[Any, Any]) -> np.ndarray:
        read.append(env)
        return np.array([0.5, 0.5], np.float32)

    for kwargs in ({"observation": {"noise": noise}}, {"controller": controller}):
        bare, shown = (
            watched(BOX),
            make_vec_env(lambda kwargs=kwargs: TeacherActionWrapper(Watched(SpacesEnv(BOX)), **kwargs), 2),
        )
        model = PPO("MlpPolicy", bare, **SETTINGS)
        sharpen(model)
        student = Student(model)
        expected = evaluate_teacher(student, bare, 6, seed=3, needs_success=False)
        read.clear()
        assert evaluate_teacher(student, shown, 6, seed=3, needs_success=False) == expected
        # a frame may be rendered for it
        assert not read
        # afterwards all is as it was
        shown.reset()
        shown.step(np.zeros((2, 2), np.float32))
        assert len(read) == 4


def test_the_same_student_in_more_and_in_fewer_environments() -> None:
    env = watched(BOX)
    model = RecurrentPPO("MlpLstmPolicy", env, policy_kwargs={"lstm_hidden_size": 8}, **SETTINGS)
    student = Student(model)
    first = evaluate_teacher(student, SpacesEnv(BOX), 4, needs_success=False)
    evaluate_teacher(student, env, 4, needs_success=False)
    assert evaluate_teacher(student, SpacesEnv(BOX), 4, needs_success=False) == first


def test_a_teacher_that_takes_masks_gets_the_environment_s() -> None:
    env = make_vec_env(lambda: Watched(MaskedEnv(DISCRETE)), 2, seed=0)
    model = MaskablePPO("MlpPolicy", env, **SETTINGS)
    sharpen(model)
    as_student = evaluate_teacher(Student(model), env, 6, needs_success=False)
    assert evaluate_teacher(SB3Teacher(model), env, 6, needs_success=False) == as_student


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        (lambda: SpacesEnv(ACTION_SPACES["multidiscrete"]), r"The student acts in Discrete\(3\), the environment in MultiD"),
        (lambda: SpacesEnv(DISCRETE, DICT_SPACE), r"The student observes Box\(-1.0, 1.0, \(4,\).*the environment shows Dict"),
        (lambda: SpacesEnv(DISCRETE, IMAGE_SPACE), "such as VecFrameStack, which take no part here"),
        (lambda: SpacesEnv(DISCRETE), r"the environment has no action_masks\(\): give it this method, or put an ActionMasker"),
    ],
)
def test_environments_that_do_not_fit_are_refused(env: Any, complaint: str) -> None:
    model = MaskablePPO("MlpPolicy", MaskedEnv(DISCRETE), **SETTINGS)
    with pytest.raises(TeacherError, match=complaint) as refused:
        evaluate_teacher(Student(model), env(), 1)
    assert len(str(refused.value)) < 500


def test_statistics_of_something_else_are_refused() -> None:
    statistics = VecNormalize(DummyVecEnv([naming_env()]))
    student = Student(PPO("MlpPolicy", SpacesEnv(BOX), **SETTINGS), statistics)
    with pytest.raises(TeacherError, match=r"The student's VecNormalize statistics have the shape \(3,\), the environment's"):
        evaluate_teacher(student, SpacesEnv(BOX), 1)


def test_a_student_that_samples_draws_from_torch() -> None:
    model = PPO("MlpPolicy", SpacesEnv(BOX), **SETTINGS)
    observations = np.zeros((50, 4), np.float32)
    student = Student(model, deterministic=False)
    th.manual_seed(1)
    actions = student.act(observations, np.ones(50, dtype=bool))
    th.manual_seed(1)
    np.testing.assert_array_equal(actions, model.predict(observations)[0])
    assert actions.std(axis=0).min() > 0.3

"""What the environments offer the teacher does not arrive: an error, and never the student's view in its place."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.atari_wrappers import FireResetEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv
from toy_envs import ACTION_SPACES, NamingTeacher, SpacesEnv, name_of, naming_env

from sb3_rpd import RPD, TeacherActionWrapper, TeacherError

BOX = ACTION_SPACES["box"]
N_STEPS = 8
LOST = (
    r"info\[\"teacher\"\] does not arrive from each reset: a wrapper above the TeacherActionWrapper drops the info.*on top of"
)


def make_model(teacher: Any, env: Any, **kwargs: Any) -> RPD:
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": N_STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    arguments |= {"policy_kwargs": {"net_arch": [4]}, "label_batch_size": 1}
    return RPD("MlpPolicy", env, teacher=teacher, **(arguments | kwargs))


class DropsInfo(gym.Wrapper):
    """
    Drops the info of resets, or of steps.

    :param resets: The numbers of the resets whose info is dropped.
    :param steps: Whether that of steps is.
    """

    def __init__(self, env: gym.Env, resets: Any = range(1000), steps: bool = False) -> None:
        super().__init__(env)
        self.resets = resets
        self.steps = steps
        self.n_resets = 0

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        self.n_resets += 1
        return observation, {} if self.n_resets - 1 in self.resets else info

    def step(self, action: Any) -> Any:
        *result, info = self.env.step(action)
        return *result, {} if self.steps else info


def never(observations: Any) -> np.ndarray:
    raise AssertionError("The teacher was asked.")


def build(steps: bool, controller: bool) -> gym.Env:
    offer: dict[str, Any] = (
        {"controller": lambda env: np.zeros(2)} if controller else {"observation": {"ones": lambda env: np.ones(2)}}
    )
    return DropsInfo(TeacherActionWrapper(SpacesEnv(BOX), **offer), steps=steps)


@pytest.mark.parametrize("vec_env", [DummyVecEnv, SubprocVecEnv])
@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("steps", [False, True], ids=["of_resets", "of_all"])
@pytest.mark.parametrize("controller", [False, True], ids=["observation", "controller"])
def test_wrapper_that_drops_the_info(vec_env: Any, n_envs: int, steps: bool, controller: bool) -> None:
    env = vec_env([lambda: build(steps, controller)] * n_envs)
    try:
        model = make_model(None if controller else never, env)
        with pytest.raises(TeacherError, match=LOST):
            model.learn(N_STEPS * n_envs)
        assert model.num_timesteps == 0
    finally:
        env.close()


def test_info_of_one_later_reset_is_lost() -> None:
    env = DummyVecEnv([lambda: DropsInfo(naming_env(0)(), resets=[1]), naming_env(1)])
    with pytest.raises(TeacherError, match=LOST):
        make_model(NamingTeacher(), env).learn(10 * N_STEPS)


class FiringEnv(SpacesEnv):
    """Has an action to begin with, as some games of Atari."""

    def __init__(self) -> None:
        super().__init__(spaces.Discrete(3))

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE", "RIGHT"]


def test_order_that_the_message_advises() -> None:
    """Both ways round, with a wrapper of SB3's that drops the info."""
    offered: list[int] = []

    def read(env: gym.Env) -> np.ndarray:
        return np.array([env.unwrapped.steps_left])

    def teach(observations: dict[str, np.ndarray]) -> np.ndarray:
        offered.extend(observations["left"][:, 0])
        return np.zeros(len(observations["left"]), int)

    below = DummyVecEnv([lambda: FireResetEnv(TeacherActionWrapper(FiringEnv(), observation={"left": read}))])
    with pytest.raises(TeacherError, match=LOST):
        make_model(teach, below).learn(N_STEPS)
    assert not offered
    above = DummyVecEnv([lambda: TeacherActionWrapper(FireResetEnv(FiringEnv()), observation={"left": read})])
    make_model(teach, above).learn(N_STEPS)
    # Episodes of 7 and 5 steps, of which resetting takes two
    assert offered == [5, 4, 3, 2, 1, 3, 2, 1]


def test_vec_env_that_cannot_tell_how_its_environments_are_wrapped() -> None:
    class Silent(DummyVecEnv):
        def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Any:
            raise NotImplementedError

        def reset(self) -> Any:
            observations = super().reset()
            self.reset_infos = [{} for _ in range(self.num_envs)]
            return observations

    env = Silent([naming_env(0), naming_env(1)])
    model = make_model(lambda observations: never(observations), env)
    with pytest.raises(TeacherError, match=LOST):
        model.learn(10 * N_STEPS)
    # Seen at the first step, before anything is asked
    assert model.num_timesteps == 2


# ---------------------------------------------------------------- an info of another kind


class OwnInfo(gym.Wrapper):
    """An environment with an ``info["teacher"]`` of its own."""

    def __init__(self, env: gym.Env, info: Any) -> None:
        super().__init__(env)
        self.info = info

    def reset(self, **kwargs: Any) -> Any:
        observation, info = self.env.reset(**kwargs)
        return observation, {**info, "teacher": self.info}

    def step(self, action: Any) -> Any:
        *result, info = self.env.step(action)
        return *result, {**info, "teacher": self.info}


@pytest.mark.parametrize(
    ("info", "named"),
    [("Ms. Frizzle", "a str"), (np.zeros(2), "a ndarray"), (None, "a NoneType"), ({"id": 3}, "a dict with the keys 'id'")],
)
@pytest.mark.parametrize("wrapped", [True, False])
def test_info_that_is_not_for_the_teacher_is_named(info: Any, named: str, wrapped: bool) -> None:
    env = DummyVecEnv([lambda: OwnInfo(naming_env(0, wrapped=wrapped)(), info)])
    with pytest.raises(TeacherError, match=rf"info\[\"teacher\"\] of its own, {named}.*another name"):
        make_model(never, env).learn(N_STEPS)
    with pytest.warns(UserWarning, match="RPD has no teacher"):
        make_model(None, DummyVecEnv([lambda: OwnInfo(SpacesEnv(BOX), info)])).learn(N_STEPS)


# ---------------------------------------------------------------- controllers


def controlled() -> gym.Env:
    return TeacherActionWrapper(SpacesEnv(BOX), controller=lambda wrapped: np.full(2, 0.1 * wrapped.unwrapped.steps_left))


@pytest.mark.parametrize("n_steps", [1, N_STEPS])
def test_controllers_go_on_labeling_after_loading_without_a_reset(tmp_path: Path, n_steps: int) -> None:
    """The first step has no label, as ``load`` says, and counts as missing."""
    env = DummyVecEnv([controlled] * 2)
    arguments = {"n_steps": n_steps, "batch_size": 2 * n_steps, "imitation_coef": 1.0}
    model = make_model(None, env, **arguments).learn(2 * n_steps)
    model.save(tmp_path / "model.zip")
    loaded = RPD.load(tmp_path / "model.zip", env=env, force_reset=False)
    loaded.learn(2 * n_steps, reset_num_timesteps=False, log_interval=1000)
    labels = loaded.rollout_buffer.teacher_actions
    assert np.isnan(labels[0]).all()
    assert not np.isnan(labels[1:]).any()
    assert loaded.logger.name_to_value["teacher/missing"] == 2
    loaded.learn(2 * n_steps, reset_num_timesteps=False, log_interval=1000)
    assert loaded.rollout_buffer.labeled_fraction() == 1.0


def test_controller_in_one_environment_and_no_teacher_for_the_other() -> None:
    env = DummyVecEnv([controlled, lambda: TeacherActionWrapper(SpacesEnv(BOX), observation={"ones": lambda env: np.ones(2)})])
    model = make_model(None, env)
    with pytest.warns(UserWarning, match="no teacher to ask where an environment's controller gives no action"):
        model.learn(2 * N_STEPS)
    assert np.isnan(model.rollout_buffer.teacher_actions).any(axis=2).tolist() == [[False, True]] * N_STEPS
    make_model(lambda observations: np.zeros((len(observations["ones"]), 2)), env).learn(2 * N_STEPS)


def test_name_of_is_a_source_that_reuses_its_memory() -> None:
    """What the wrapper has offered last is a copy, too."""
    env = naming_env(0)()
    assert env.teacher_info is None
    env.reset()
    first = env.teacher_info
    env.step(np.zeros(3, np.float32))
    assert first["observation"]["name"].tolist() == [0, 0, 0]
    assert env.get_wrapper_attr("teacher_info")["observation"]["name"].tolist() == name_of(env).tolist() == [0, 0, 1]

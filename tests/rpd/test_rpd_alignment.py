"""Every label belongs to exactly the observation of its rollout-buffer entry, whatever lies between."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from toy_envs import NamingEnv, NamingTeacher, names_in, naming_env

from sb3_rpd import RPD

N_ENVS = 3
N_STEPS = 11


class Ledger(BaseCallback):
    """Writes down which state every action of the running rollout was taken in, as the environments say it."""

    def __init__(self) -> None:
        super().__init__()
        self.acted_on: list[np.ndarray] = []

    def _on_rollout_start(self) -> None:
        self.acted_on = []

    def _on_step(self) -> bool:
        self.acted_on.append(np.stack([info["acted_on"] for info in self.locals["infos"]]))
        return True


class AuditedRPD(RPD):
    """Compares each rollout's labels with the ledger before it trains on them."""

    ledger: Ledger

    def audit(self, ledger: Ledger) -> "AuditedRPD":
        self.ledger = ledger
        self.labels_audited = 0
        return self

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "ledger"]

    def train(self) -> None:
        labels = self.rollout_buffer.teacher_actions
        labeled = ~np.isnan(labels).any(axis=2)
        np.testing.assert_array_equal(labels[labeled], np.stack(self.ledger.acted_on)[labeled])
        self.labels_audited += int(labeled.sum())
        super().train()


def make_model(env: VecEnv, teacher: Any = None, **kwargs: Any) -> AuditedRPD:
    is_dict = isinstance(env.observation_space, spaces.Dict)
    policy_kwargs: dict[str, Any] = {"net_arch": [4], "normalize_images": False}
    if is_dict:
        policy_kwargs["features_extractor_kwargs"] = {"cnn_output_dim": 4}
    arguments: dict[str, Any] = {
        "n_steps": N_STEPS,
        "batch_size": N_STEPS,
        "n_epochs": 1,
        "learning_rate": 1e-5,
        "imitation_coef": 1e-6,
        "label_batch_size": 7,
        "device": "cpu",
        "policy_kwargs": policy_kwargs,
        "seed": 0,
    }
    policy = "MultiInputPolicy" if is_dict else "MlpPolicy"
    model = AuditedRPD(policy, env, teacher=teacher or NamingTeacher(), **(arguments | kwargs))
    return model.audit(Ledger())


def learn(model: AuditedRPD, rollouts: int = 3, callback: BaseCallback | None = None, **kwargs: Any) -> AuditedRPD:
    callbacks = [model.ledger] if callback is None else [model.ledger, callback]
    return model.learn(rollouts * N_STEPS * model.n_envs, callback=CallbackList(callbacks), **kwargs)


def dummy(kind: str = "vector", wrapped: bool = True, n_envs: int = N_ENVS, **kwargs: Any) -> DummyVecEnv:
    return DummyVecEnv([naming_env(index, kind, wrapped, **kwargs) for index in range(n_envs)])


def assert_all_labeled(model: AuditedRPD, rollouts: int = 3) -> None:
    assert model.labels_audited == rollouts * N_STEPS * model.n_envs


STACKS: dict[str, tuple[str, Callable[[VecEnv], VecEnv]]] = {
    "plain": ("vector", lambda env: env),
    "plain_dict": ("dict", lambda env: env),
    "monitored": ("vector", VecMonitor),
    "normalized": ("vector", VecNormalize),
    "normalized_dict": ("dict", lambda env: VecNormalize(env, norm_obs_keys=["vector"])),
    "stacked": ("vector", lambda env: VecFrameStack(env, 2)),
    "stacked_dict": ("dict", lambda env: VecFrameStack(env, 2)),
    "image_transposed_by_sb3": ("image", lambda env: env),
    "image_transposed_by_user": ("image", VecTransposeImage),
    "image_stacked": ("image", lambda env: VecFrameStack(env, 2)),
    "image_stacked_after_transposing": ("image", lambda env: VecFrameStack(VecTransposeImage(env), 2)),
    "stacked_over_normalized": ("vector", lambda env: VecFrameStack(VecNormalize(env), 2)),
    "normalized_over_stacked": ("vector", lambda env: VecNormalize(VecFrameStack(env, 2))),
    "rewards_normalized_and_stacked": ("image", lambda env: VecFrameStack(VecNormalize(env, norm_obs=False), 2)),
    "image_stacked_over_normalized_over_transposed": (
        "image",
        lambda env: VecFrameStack(VecNormalize(VecTransposeImage(env)), 2),
    ),
    "image_transposed_over_stacked_over_normalized": (
        "image",
        lambda env: VecTransposeImage(VecFrameStack(VecNormalize(env, norm_obs=False), 2)),
    ),
}


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapper", "no_wrapper"])
@pytest.mark.parametrize("stack", STACKS)
def test_through_every_stack_of_wrappers(stack: str, wrapped: bool) -> None:
    kind, wrap = STACKS[stack]
    teacher = NamingTeacher()
    model = learn(make_model(wrap(dummy(kind, wrapped)), teacher))
    assert_all_labeled(model)
    # Once for each entry, and the environments were in no state twice
    asked = [name for query in teacher.asked for name in query]
    assert len(asked) == len(set(asked)) == model.labels_audited
    # Learning again resets the environments, under observations that some wrappers keep in the same memory
    learn(model)
    assert_all_labeled(model, rollouts=6)
    learn(model, reset_num_timesteps=False)
    assert_all_labeled(model, rollouts=9)


@pytest.mark.parametrize("ends", [("termination",), ("truncation",)])
@pytest.mark.parametrize("n_envs", [1, N_ENVS])
@pytest.mark.parametrize("asynchronous", [True, False], ids=["asynchronous", "synchronous"])
def test_across_episode_ends(ends: tuple[str, ...], n_envs: int, asynchronous: bool) -> None:
    model = make_model(dummy(n_envs=n_envs, ends=ends), label_asynchronously=asynchronous)
    learn(model)
    assert_all_labeled(model)
    # What is labeled is also what the student saw
    seen = model.rollout_buffer.observations.reshape(n_envs, N_STEPS, 3).swapaxes(0, 1)
    np.testing.assert_array_equal(seen, model.rollout_buffer.teacher_actions)


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapper", "no_wrapper"])
def test_in_worker_processes_which_the_teacher_never_enters(wrapped: bool) -> None:
    """A ``NamingTeacher`` raises when it is pickled."""
    env = SubprocVecEnv([naming_env(index, "image", wrapped) for index in range(2)], start_method="spawn")
    try:
        model = learn(make_model(VecFrameStack(env, 2)))
        assert_all_labeled(model)
    finally:
        env.close()


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapper", "no_wrapper"])
@pytest.mark.parametrize("force_reset", [True, False])
def test_after_set_env(wrapped: bool, force_reset: bool) -> None:
    model = learn(make_model(dummy(wrapped=wrapped)))
    model.set_env(dummy(wrapped=wrapped), force_reset=True)
    learn(model, reset_num_timesteps=False)
    assert_all_labeled(model, rollouts=6)
    if not force_reset:
        # SB3 goes on from the last observation of the old environments: the label is that observation's, too
        model.set_env(dummy(wrapped=wrapped), force_reset=False)
        old = model._last_obs.copy()
        model.ledger.acted_on = []
        model.collect_rollouts(model.env, model.ledger, model.rollout_buffer, N_STEPS)
        np.testing.assert_array_equal(model.rollout_buffer.teacher_actions[0], old)


@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapper", "no_wrapper"])
def test_after_load(wrapped: bool, tmp_path: Path) -> None:
    model = learn(make_model(dummy(wrapped=wrapped)))
    model.save(tmp_path / "model.zip")
    loaded = AuditedRPD.load(tmp_path / "model.zip", env=dummy(wrapped=wrapped), teacher=NamingTeacher()).audit(Ledger())
    learn(loaded, reset_num_timesteps=False)
    assert_all_labeled(loaded)
    other = AuditedRPD.load(tmp_path / "model.zip", teacher=NamingTeacher()).audit(Ledger())
    other.set_env(dummy(wrapped=wrapped))
    learn(other, reset_num_timesteps=False)
    assert_all_labeled(other)


def test_after_load_without_a_reset_the_first_step_has_no_label(tmp_path: Path) -> None:
    """What the teacher may see of an observation is not saved with it."""
    env = dummy()
    model = learn(make_model(env))
    model.save(tmp_path / "model.zip")
    loaded = AuditedRPD.load(tmp_path / "model.zip", env=env, teacher=NamingTeacher(), force_reset=False).audit(Ledger())
    learn(loaded, rollouts=1, reset_num_timesteps=False)
    assert loaded.labels_audited == (N_STEPS - 1) * N_ENVS
    assert np.isnan(loaded.rollout_buffer.teacher_actions[0]).all()


class StopsAt(BaseCallback):
    """Ends the rollout at the n-th step."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def _on_step(self) -> bool:
        return self.n_calls != self.step


@pytest.mark.parametrize("wrap", [lambda env: env, lambda env: VecFrameStack(env, 2)], ids=["plain", "stacked"])
@pytest.mark.parametrize("asynchronous", [True, False], ids=["asynchronous", "synchronous"])
def test_after_a_callback_stopped_the_rollout(wrap: Callable[[VecEnv], VecEnv], asynchronous: bool) -> None:
    model = make_model(wrap(dummy()), label_asynchronously=asynchronous)
    learn(model, callback=StopsAt(N_STEPS + 5))
    assert_all_labeled(model, rollouts=1)
    # SB3 steps the environments, drops the step and goes on from the observation before it: the first entry's label is
    # that observation's, all others are those of the states that the environments name
    before = model._last_obs.copy()
    model.set_logger(model.logger)
    model.collect_rollouts(model.env, model.ledger, model.rollout_buffer, N_STEPS)
    labels = model.rollout_buffer.teacher_actions
    np.testing.assert_array_equal(labels[0], names_in(before))
    np.testing.assert_array_equal(labels[1:], np.stack(model.ledger.acted_on)[1:])


@pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped")
def test_with_evaluations_which_do_not_ask_the_teacher() -> None:
    teacher = NamingTeacher()
    env, eval_env = VecNormalize(dummy()), VecNormalize(dummy(n_envs=1), training=False)
    evaluations = EvalCallback(eval_env, eval_freq=4, n_eval_episodes=2, verbose=0)
    model = make_model(env, teacher)
    learn(model, callback=evaluations)
    assert evaluations.n_calls == 3 * N_STEPS
    assert np.isfinite(evaluations.last_mean_reward)
    assert_all_labeled(model)
    assert sum(len(query) for query in teacher.asked) == model.labels_audited


def test_through_a_vec_env_that_gives_no_reset_infos() -> None:
    """The student's own observation is enough where there is no ``TeacherActionWrapper``."""

    class WithoutResetInfos(DummyVecEnv):
        def reset(self) -> Any:
            observations = super().reset()
            self.reset_infos = [{} for _ in range(self.num_envs)]
            return observations

    env = WithoutResetInfos([naming_env(index, wrapped=False) for index in range(N_ENVS)])
    assert_all_labeled(learn(make_model(env)))


def test_the_toy_environment_is_never_in_a_state_twice() -> None:
    env = NamingEnv()
    names = []
    for _ in range(6):
        observation, _ = env.reset()
        done = False
        while not done:
            names.append(tuple(observation))
            observation, _, terminated, truncated, info = env.step(np.zeros(3, np.float32))
            assert tuple(info["acted_on"]) == names[-1]
            done = terminated or truncated
    assert len(set(names)) == len(names)

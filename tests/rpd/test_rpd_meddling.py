"""What callbacks and environments do behind a rollout's back: labels are of what is stored, or count as missing."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)
from toy_envs import NamingEnv, NamingTeacher, name_of, naming_env

from sb3_rpd import RPD, TeacherActionWrapper

N_ENVS = 3
N_STEPS = 11
pytestmark = [
    pytest.mark.filterwarnings("ignore:Evaluation environment is not wrapped"),
    pytest.mark.filterwarnings("ignore:Training and eval env are not of the same type"),
    pytest.mark.filterwarnings("ignore:You have specified a mini-batch size"),
]


class StoredRPD(RPD):
    """Compares each label with the name of the state that is stored in its entry, and counts."""

    labeled = 0
    missing = 0

    def train(self) -> None:
        buffer = self.rollout_buffer
        stored = buffer.observations["image"] if isinstance(buffer.observations, dict) else buffer.observations
        # The latest of stacked images, channels first
        names = stored[:, :, -1, 0, :3] if stored.ndim == 5 else stored[..., -3:]
        has_label = ~np.isnan(buffer.teacher_actions).any(axis=2)
        np.testing.assert_array_equal(buffer.teacher_actions[has_label], names[has_label])
        self.labeled += int(has_label.sum())
        self.missing += self.logger.name_to_value["teacher/missing"]
        super().train()


def make_model(env: VecEnv, n_steps: int = N_STEPS, teacher: Any = None, **kwargs: Any) -> StoredRPD:
    is_dict = isinstance(env.observation_space, spaces.Dict)
    policy_kwargs: dict[str, Any] = {"net_arch": [4], "normalize_images": False}
    if is_dict:
        policy_kwargs["features_extractor_kwargs"] = {"cnn_output_dim": 4}
    arguments: dict[str, Any] = {
        "n_steps": n_steps,
        "batch_size": n_steps * env.num_envs,
        "n_epochs": 1,
        "imitation_coef": 1e-6,
        "learning_rate": 1e-5,
        "label_batch_size": 7,
        "max_missing_labels": 1.0,
        "policy_kwargs": policy_kwargs,
        "device": "cpu",
        "seed": 0,
    }
    model = StoredRPD(
        "MultiInputPolicy" if is_dict else "MlpPolicy", env, teacher=teacher or NamingTeacher(), **arguments | kwargs
    )
    model.set_logger(configure(None, []))
    return model


def learn(model: StoredRPD, callback: BaseCallback | None = None, rollouts: int = 4, **kwargs: Any) -> StoredRPD:
    model.learn(rollouts * model.n_steps * model.n_envs, callback=callback, log_interval=1000, **kwargs)
    # Each entry was asked about: it is labeled, or counted as missing
    assert model.labeled + model.missing == model.num_timesteps
    return model


def dummy(kind: str = "vector", wrapped: bool = True, n_envs: int = N_ENVS) -> DummyVecEnv:
    return DummyVecEnv([naming_env(index, kind, wrapped) for index in range(n_envs)])


STACKS: dict[str, tuple[str, Callable[[VecEnv], VecEnv]]] = {
    "plain": ("vector", lambda env: env),
    "dict": ("dict", lambda env: env),
    "monitored": ("vector", VecMonitor),
    "image": ("image", lambda env: env),
    "stacked": ("vector", lambda env: VecFrameStack(env, 2)),
    "stacked_dict": ("dict", lambda env: VecFrameStack(env, 2)),
    "stacked_images": ("image", lambda env: VecFrameStack(VecTransposeImage(env), 2)),
    "transposed_over_stacked": ("image", lambda env: VecTransposeImage(VecFrameStack(env, 2))),
    "normalized_dict": ("dict", lambda env: VecNormalize(env, norm_obs_keys=["vector"])),
    "stacked_over_normalized_dict": ("dict", lambda env: VecFrameStack(VecNormalize(env, norm_obs_keys=["vector"]), 2)),
}
all_stacks = pytest.mark.parametrize("stack", STACKS)
wrapper_or_not = pytest.mark.parametrize("wrapped", [True, False], ids=["wrapper", "no_wrapper"])


def make_stack(stack: str, wrapped: bool = True) -> VecEnv:
    kind, wrap = STACKS[stack]
    return wrap(dummy(kind, wrapped))


class Meddling(BaseCallback):
    """
    Calls a function with itself from time to time.

    :param meddle: The function.
    :param when: In which of the callback's methods: "init", "training_start", "rollout_start", "step" or "rollout_end".
    """

    def __init__(self, meddle: Callable[[BaseCallback], Any], when: str) -> None:
        super().__init__()
        self.meddle = meddle
        self.when = when

    def _call(self, moment: str) -> None:
        if moment == self.when:
            self.meddle(self)

    def _init_callback(self) -> None:
        self._call("init")

    def _on_training_start(self) -> None:
        self._call("training_start")

    def _on_rollout_start(self) -> None:
        self._call("rollout_start")

    def _on_step(self) -> bool:
        if self.n_calls % 3 == 2:
            self._call("step")
        return True

    def _on_rollout_end(self) -> None:
        self._call("rollout_end")


def reset(callback: BaseCallback) -> None:
    callback.training_env.reset()


def evaluate(callback: BaseCallback) -> None:
    evaluate_policy(callback.model, callback.training_env, n_eval_episodes=2, warn=False)


def take_steps(callback: BaseCallback) -> Any:
    for _ in range(2):
        observations, *_ = callback.training_env.step(np.zeros((callback.training_env.num_envs, 3), np.float32))
    return observations


def take_one_step(callback: BaseCallback) -> None:
    callback.training_env.step(np.zeros((callback.training_env.num_envs, 3), np.float32))


def go_on_from_reset(callback: BaseCallback) -> None:
    callback.model._last_obs = callback.training_env.reset()


def go_on_from_later(callback: BaseCallback) -> None:
    callback.training_env.reset()
    callback.model._last_obs = take_steps(callback)


def go_on_after_steps(callback: BaseCallback) -> None:
    callback.model._last_obs = take_steps(callback)


def evaluate_and_put_back(callback: BaseCallback) -> None:
    before = copy.deepcopy(callback.model._last_obs)
    evaluate(callback)
    callback.model._last_obs = before


def evaluate_and_reset(callback: BaseCallback) -> None:
    evaluate(callback)
    go_on_from_reset(callback)


def put_a_copy(callback: BaseCallback) -> None:
    callback.model._last_obs = copy.deepcopy(callback.model._last_obs)


def zero_in_place(callback: BaseCallback) -> None:
    observations = callback.model._last_obs
    for array in observations.values() if isinstance(observations, dict) else [observations]:
        array[...] = 0


MEDDLERS = (
    reset,
    evaluate,
    take_steps,
    go_on_from_reset,
    go_on_from_later,
    go_on_after_steps,
    evaluate_and_put_back,
    evaluate_and_reset,
    put_a_copy,
)


@pytest.mark.parametrize("stack", ["stacked", "stacked_over_normalized_dict"])
@wrapper_or_not
@pytest.mark.parametrize("when", ["rollout_start", "step", "rollout_end"])
@pytest.mark.parametrize("meddle", MEDDLERS)
@pytest.mark.filterwarnings("ignore:Labels are missing")
def test_labels_are_of_what_is_stored(stack: str, wrapped: bool, when: str, meddle: Callable[[Any], Any]) -> None:
    learn(make_model(make_stack(stack, wrapped)), Meddling(meddle, when), rollouts=2)


# ---------------------------------------------------------------- where nothing is lost


@pytest.mark.parametrize("stack", ["plain", "dict", "monitored", "image", "normalized_dict"])
@wrapper_or_not
@pytest.mark.parametrize("when", ["init", "training_start", "rollout_start", "step", "rollout_end"])
@pytest.mark.parametrize("meddle", [reset, evaluate, take_steps])
def test_environments_that_a_callback_takes_elsewhere(
    stack: str, wrapped: bool, when: str, meddle: Callable[[Any], Any]
) -> None:
    """The student acts on the observation of before, as in PPO; it has its own label."""
    model = learn(make_model(make_stack(stack, wrapped)), Meddling(meddle, when))
    assert model.missing == 0


@wrapper_or_not
def test_evaluation_callback_on_the_training_environments(wrapped: bool) -> None:
    env = dummy(wrapped=wrapped)
    model = learn(make_model(env), EvalCallback(env, eval_freq=4, n_eval_episodes=2, verbose=0))
    assert model.missing == 0


@all_stacks
@wrapper_or_not
@pytest.mark.parametrize(("when", "n_steps"), [("rollout_start", 1), ("rollout_end", 4)])
def test_each_rollout_begins_with_a_reset(stack: str, wrapped: bool, when: str, n_steps: int) -> None:
    """``self.model._last_obs = self.training_env.reset()``, which many write."""
    model = make_model(make_stack(stack, wrapped), n_steps)
    assert learn(model, Meddling(go_on_from_reset, when)).missing == 0


@pytest.mark.parametrize("stack", ["plain", "stacked"])
@wrapper_or_not
@pytest.mark.parametrize("meddle", [go_on_from_later, go_on_after_steps, evaluate_and_reset, put_a_copy])
def test_other_beginnings_of_a_rollout(stack: str, wrapped: bool, meddle: Callable[[Any], Any]) -> None:
    assert learn(make_model(make_stack(stack, wrapped)), Meddling(meddle, "rollout_start")).missing == 0


# ---------------------------------------------------------------- where a label is lost, and counted


def test_observation_that_is_replaced_where_nobody_looks_is_missing_and_said_once() -> None:
    model = learn(make_model(dummy()))
    model._last_obs = model.env.reset()
    with pytest.warns(UserWarning, match=r"Labels are missing.*: model\._last_obs was replaced.*teacher/missing") as caught:
        learn(model, reset_num_timesteps=False)
    assert model.missing == N_ENVS
    assert len(caught) == 1


def test_observation_that_is_changed_in_place_is_missing() -> None:
    with pytest.warns(UserWarning, match="model._last_obs was replaced, or changed in place"):
        model = learn(make_model(dummy()), Meddling(zero_in_place, "step"))
    # The steps 2, 5, 8, ... 44
    assert model.missing == 15 * N_ENVS


def test_too_many_of_them_stop_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = make_model(dummy(), 1, max_missing_labels=0.5)
    with (
        pytest.warns(UserWarning, match="Labels are missing"),
        pytest.raises(RuntimeError, match=r"3 of 3 labels of this rollout are missing.*model\._last_obs was replaced"),
    ):
        model.learn(10 * N_ENVS, callback=Meddling(zero_in_place, "rollout_start"))


def test_last_observation_that_is_replaced_in_a_step_is_not_taken_for_the_one_of_before() -> None:
    with pytest.warns(UserWarning, match="Labels are missing"):
        model = learn(make_model(dummy()), Meddling(go_on_from_reset, "step"))
    assert model.missing == 15 * N_ENVS


# ---------------------------------------------------------------- what the student does not see


class BlindEnv(NamingEnv):
    """The student sees the first step of each episode, and nothing else that tells two states apart."""

    def observe(self) -> Any:
        return np.array([0.0, 0.0, self.step_in_episode], np.float32)


def blind(wrap: Callable[[VecEnv], VecEnv] = lambda env: env) -> VecEnv:
    def build(index: int) -> Callable[[], Any]:
        return lambda: TeacherActionWrapper(BlindEnv(index), observation={"name": name_of})

    return wrap(DummyVecEnv([build(index) for index in range(N_ENVS)]))


class Witness(BaseCallback):
    """Writes down the state of which each observation is, before anybody meddles."""

    def __init__(self) -> None:
        super().__init__()
        self.states: list[Any] = []

    def _names(self, infos: Any) -> np.ndarray:
        return np.stack([info["teacher"]["observation"]["name"] for info in infos])

    def _on_training_start(self) -> None:
        self.states = [self._names(self.training_env.unwrapped.reset_infos)]

    def _on_step(self) -> bool:
        reset_infos, infos = self.training_env.unwrapped.reset_infos, self.locals["infos"]
        self.states.append(self._names(np.where(self.locals["dones"], reset_infos, infos)))
        return True


class BlindRPD(RPD):
    """Compares each label with the state that the witness has seen at its time."""

    def train(self) -> None:
        labels = self.rollout_buffer.teacher_actions
        has_label = ~np.isnan(labels).any(axis=2)
        n_steps = self.n_steps
        seen = np.stack(self.witness.states[self.labeled_rollouts * n_steps :][:n_steps])
        np.testing.assert_array_equal(labels[has_label], seen[has_label])
        self.labeled_rollouts += 1
        self.n_labels += int(has_label.sum())
        super().train()


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("n_steps", [1, 5])
@pytest.mark.parametrize("meddle", [None, reset, evaluate])
def test_states_that_look_the_same_to_the_student(stacked: bool, n_steps: int, meddle: Any) -> None:
    """A reset in a callback: the observation of before is stored, or one of the reset that cannot be told from it."""
    env = blind((lambda env: VecFrameStack(env, 2)) if stacked else (lambda env: env))
    model = BlindRPD(
        "MlpPolicy",
        env,
        n_steps=n_steps,
        batch_size=n_steps * N_ENVS,
        n_epochs=1,
        teacher=lambda observations: observations["name"],
        imitation_coef=1e-6,
        max_missing_labels=1.0,
        policy_kwargs={"net_arch": [4]},
        device="cpu",
        seed=0,
    )
    model.witness, model.labeled_rollouts, model.n_labels = Witness(), 0, 0
    callbacks = [model.witness] if meddle is None else [model.witness, Meddling(meddle, "step")]
    model.learn(12 * n_steps * N_ENVS, callback=callbacks)
    if meddle is None or not stacked:
        assert model.n_labels == 12 * n_steps * N_ENVS
    else:
        # At every third step the memory of the observation may have been written over
        assert 7 * n_steps * N_ENVS <= model.n_labels < 12 * n_steps * N_ENVS


@pytest.mark.parametrize("stacked", [False, True])
def test_reset_to_what_looks_the_same(stacked: bool) -> None:
    """Each rollout begins with a reset, and each observation after a reset is zero: the labels are of the new episode."""
    env = blind((lambda env: VecFrameStack(env, 2)) if stacked else (lambda env: env))
    started: list[list[float]] = []

    class Restarting(BaseCallback):
        def _on_rollout_start(self) -> None:
            go_on_from_reset(self)
            infos = self.training_env.unwrapped.reset_infos
            started.append([info["teacher"]["observation"]["name"].tolist() for info in infos])

        def _on_step(self) -> bool:
            return True

        def _on_rollout_end(self) -> None:
            labels = self.model.rollout_buffer.teacher_actions[0]
            assert np.isnan(labels).all() or labels.tolist() == started[-1]

    model = RPD(
        "MlpPolicy", env, n_steps=2, batch_size=6, teacher=lambda seen: seen["name"], device="cpu", max_missing_labels=1.0
    )
    model.learn(8 * 6, callback=Restarting(), log_interval=1000)
    assert len(started) == 8


# ---------------------------------------------------------------- memory that is used again


class Reusing(DummyVecEnv):
    """Returns its observations in the same memory each time."""

    def _obs_from_buf(self) -> Any:
        arrays = dict(self.buf_obs)
        return arrays.get(None, arrays)


class ReusingInNewArrays(DummyVecEnv):
    """The same in new array objects, as a simulator on a GPU may."""

    def _obs_from_buf(self) -> Any:
        arrays = {name: array[:] for name, array in self.buf_obs.items()}
        return arrays.get(None, arrays)


class TakingTurns(DummyVecEnv):
    """Returns its observations in two pieces of memory by turns."""

    def _obs_from_buf(self) -> Any:
        if not hasattr(self, "turns"):
            self.turns = [copy.deepcopy(dict(self.buf_obs)) for _ in range(2)]
        self.turns.reverse()
        for name, array in self.turns[0].items():
            array[...] = self.buf_obs[name]
        return self.turns[0].get(None, self.turns[0])


REUSING = (Reusing, ReusingInNewArrays, TakingTurns)


@pytest.mark.parametrize("vec_env", REUSING)
@pytest.mark.parametrize("kind", ["vector", "dict"])
@wrapper_or_not
@pytest.mark.parametrize("batch_size", [1, 1000])
def test_memory_that_is_written_over(vec_env: type[DummyVecEnv], kind: str, wrapped: bool, batch_size: int) -> None:
    env = vec_env([naming_env(index, kind, wrapped) for index in range(N_ENVS)])
    model = learn(make_model(env, label_batch_size=batch_size))
    learn(model, reset_num_timesteps=False)
    assert model.missing == 0


@pytest.mark.parametrize("vec_env", [Reusing, TakingTurns])
@wrapper_or_not
@pytest.mark.parametrize("when", ["rollout_start", "step"])
@pytest.mark.parametrize("meddle", [*MEDDLERS, take_one_step])
@pytest.mark.filterwarnings("ignore:Labels are missing")
def test_memory_that_is_written_over_by_a_callback(
    vec_env: type[DummyVecEnv], wrapped: bool, when: str, meddle: Callable[[Any], Any]
) -> None:
    env = vec_env([naming_env(index, "vector", wrapped) for index in range(N_ENVS)])
    learn(make_model(env), Meddling(meddle, when), rollouts=2)


def test_view_whose_memory_is_written_over() -> None:
    """Of a VecEnv that is not SB3's, which offers the teacher's view itself."""

    class OffersItself(DummyVecEnv):
        def step_wait(self) -> Any:
            observations, rewards, dones, infos = super().step_wait()
            if not hasattr(self, "memory"):
                self.memory = np.zeros((self.num_envs, 3), np.float32)
            for index, info in enumerate(infos):
                self.memory[index] = self.envs[index].unwrapped.name
                info["teacher"] = {"observation": {"name": self.memory[index]}}
                self.reset_infos[index] = {"teacher": {"observation": {"name": self.memory[index]}}}
            return observations, rewards, dones, infos

        def reset(self) -> Any:
            observations = super().reset()
            for index, env in enumerate(self.envs):
                self.reset_infos[index] = {"teacher": {"observation": {"name": env.unwrapped.name}}}
            return observations

    env = OffersItself([naming_env(index, wrapped=False) for index in range(N_ENVS)])
    assert learn(make_model(env)).missing == 0


# ---------------------------------------------------------------- vectorized environments that are not SB3's


class Delegating(VecEnv):
    """A wrapper that is none of SB3's: it has no ``unwrapped``, and hands on what it is asked for."""

    def __init__(self, inner: VecEnv) -> None:
        self.venv = inner
        self.num_envs, self.render_mode = inner.num_envs, None
        self.observation_space, self.action_space = inner.observation_space, inner.action_space

    @property
    def unwrapped(self) -> Any:
        raise AttributeError("This wrapper has no attribute 'unwrapped'.")

    def reset(self) -> Any:
        return self.venv.reset()

    def step_async(self, actions: np.ndarray) -> None:
        self.venv.step_async(actions)

    def step_wait(self) -> Any:
        return self.venv.step_wait()

    def close(self) -> None:
        self.venv.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> Any:
        return self.venv.get_attr(attr_name, indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        self.venv.set_attr(attr_name, value, indices)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> Any:
        return self.venv.env_method(method_name, *args, indices=indices, **kwargs)

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> Any:
        return self.venv.env_is_wrapped(wrapper_class, indices)


@wrapper_or_not
def test_wrapper_without_unwrapped(wrapped: bool) -> None:
    assert learn(make_model(Delegating(dummy(wrapped=wrapped)))).missing == 0
    model = RPD("MlpPolicy", Delegating(dummy(wrapped=wrapped)), n_steps=4, batch_size=12, device="cpu")
    with pytest.warns(UserWarning, match="RPD has no teacher"):
        model.learn(24)


@pytest.mark.slow
@pytest.mark.parametrize("wrapped", [True, False], ids=["wrapper", "no_wrapper"])
@pytest.mark.parametrize(("meddle", "when"), [(go_on_from_reset, "rollout_start"), (evaluate, "step"), (reset, "step")])
def test_in_worker_processes(wrapped: bool, meddle: Callable[[Any], Any], when: str) -> None:
    env = SubprocVecEnv([naming_env(index, "vector", wrapped) for index in range(2)], start_method="forkserver")
    try:
        assert learn(make_model(env), Meddling(meddle, when)).missing == 0
    finally:
        env.close()


# ---------------------------------------------------------------- callbacks of another kind


class Forgetful(BaseCallback):
    """Keeps nothing of what SB3 shows it."""

    def update_locals(self, locals_: dict[str, Any]) -> None:
        pass

    def on_step(self) -> bool:
        return True

    def _on_step(self) -> bool:
        raise AssertionError


def test_callback_that_does_not_keep_its_locals() -> None:
    model = make_model(dummy())
    assert learn(model, Forgetful()).missing == 0
    # Nor need it have been told of a training
    model.collect_rollouts(model.env, Forgetful(), model.rollout_buffer, N_STEPS)
    assert model.rollout_buffer.labeled_fraction() == 1.0


def test_callback_that_empties_its_locals() -> None:
    model = learn(make_model(dummy()), Meddling(lambda callback: callback.locals.clear(), "step"))
    assert model.missing == 0

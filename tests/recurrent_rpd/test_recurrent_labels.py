"""Every label belongs to the observation of its row, through the padding of sequences."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from process_teachers import PlayTeacher
from sb3_contrib.common.recurrent.buffers import RecurrentDictRolloutBuffer, RecurrentRolloutBuffer
from sb3_contrib.common.recurrent.type_aliases import RNNStates
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize
from toy_envs import NamingTeacher, names_in, naming_env

from sb3_rpd import RecurrentRPD, TeacherError
from sb3_rpd.common.buffers import with_teacher_labels
from sb3_rpd.common.teacher_outputs import CheckedOutput
from sb3_rpd.recurrent_rpd.buffers import PaddedLabelsMixin
from sb3_rpd.teachers import ProcessTeacher

N_ENVS, N_STEPS = 3, 11
VECTOR = spaces.Box(-np.inf, np.inf, (2,), np.float32)


def make_model(kind: str = "vector", teacher: Any = None, wrap: Any = None, **kwargs: Any) -> RecurrentRPD:
    env = DummyVecEnv([naming_env(index, kind) for index in range(N_ENVS)])
    policy_kwargs: dict[str, Any] = {"net_arch": [4], "lstm_hidden_size": 4, "normalize_images": False}
    if kind == "dict":
        policy_kwargs["features_extractor_kwargs"] = {"cnn_output_dim": 4}
    policy = {"dict": "MultiInputLstmPolicy", "vector": "MlpLstmPolicy"}[kind]
    defaults = {"n_steps": N_STEPS, "batch_size": N_STEPS, "n_epochs": 1, "learning_rate": 1e-5, "label_batch_size": 7}
    arguments = {"teacher": teacher or NamingTeacher(), "policy_kwargs": policy_kwargs, "seed": 0, "device": "cpu"}
    return RecurrentRPD(policy, wrap(env) if wrap else env, **(defaults | arguments | kwargs))


@pytest.mark.parametrize("batch_size", [None, 7, N_STEPS, 13])
@pytest.mark.parametrize("kind", ["vector", "dict"])
def test_rows_have_the_labels_of_their_observations(kind: str, batch_size: int | None) -> None:
    model = make_model(kind, imitation_coef=1e-6).learn(2 * N_STEPS * N_ENVS)
    n_labeled = 0
    for batch in model.rollout_buffer.get(batch_size):
        labels, is_entry = batch.teacher_labels, batch.mask > 0
        observations = batch.observations
        numpy = {k: v.numpy() for k, v in observations.items()} if isinstance(observations, dict) else observations.numpy()
        if kind == "dict":
            numpy["image"] = np.moveaxis(numpy["image"], 1, -1)
        assert th.equal(labels.labeled, is_entry)
        np.testing.assert_array_equal(labels.actions[is_entry].numpy(), names_in(numpy)[is_entry])
        assert (labels.actions[~is_entry] == 0).all()
        n_labeled += int(is_entry.sum())
    assert n_labeled == N_STEPS * N_ENVS


@pytest.mark.parametrize("wrap", [VecNormalize, lambda env: VecFrameStack(env, 2)], ids=["normalized", "stacked"])
def test_labels_through_wrappers(wrap: Any) -> None:
    teacher = NamingTeacher()
    model = make_model(teacher=teacher, wrap=wrap).learn(2 * N_STEPS * N_ENVS)
    asked = [name for query in teacher.asked for name in query]
    assert len(asked) == len(set(asked)) == 2 * N_STEPS * N_ENVS
    assert model.rollout_buffer.labeled_fraction() == 1.0


ACTION_SPACES = {"box": spaces.Box(-9.0, 9.0, (2,), np.float32), "discrete": spaces.Discrete(5)}


@pytest.mark.parametrize("name", ACTION_SPACES)
@given(data=st.data())
def test_padding_of_any_rollout(name: str, data: st.DataObject) -> None:
    """Entries are numbered: observation, label, and all that a teacher's distribution says."""
    n_steps, n_envs = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 3))
    flags = st.lists(st.booleans(), min_size=n_steps * n_envs, max_size=n_steps * n_envs)
    starts, labeled = (np.array(data.draw(flags)).reshape(n_steps, n_envs) for _ in range(2))
    dims = 2 if name == "box" else 1
    buffer = with_teacher_labels(RecurrentRolloutBuffer, PaddedLabelsMixin)(
        n_steps, VECTOR, ACTION_SPACES[name], (n_steps, 1, n_envs, 3), device="cpu", n_envs=n_envs
    )
    states = RNNStates(*[tuple(th.zeros(1, n_envs, 3) for _ in range(2))] * 2)
    for step in range(n_steps):
        numbers = np.arange(n_envs) + step * n_envs
        observations = np.stack([numbers, -numbers], axis=1)
        values = th.zeros(n_envs)
        buffer.add(observations, np.zeros((n_envs, dims)), np.zeros(n_envs), starts[step], values, values, lstm_states=states)
        distribution = np.tile(numbers[:, None] + 1.0, (1, 2 if name == "box" else 5))
        labels = np.where(labeled[step, :, None], np.tile(numbers[:, None], (1, dims)), np.nan)
        buffer.add_labels(np.full(n_envs, step), np.arange(n_envs), CheckedOutput(labels, distribution))
    buffer.compute_returns_and_advantage(th.zeros(n_envs), np.zeros(n_envs))
    seen = []
    for batch in buffer.get(data.draw(st.integers(1, n_steps * n_envs))):
        numbers, is_entry, labels = batch.observations[:, 0], batch.mask > 0, batch.teacher_labels
        expected = th.as_tensor(labeled.reshape(-1))[numbers.long()] & is_entry
        assert th.equal(labels.labeled, expected)
        assert th.equal(labels.actions, (numbers * expected).unsqueeze(1).expand(-1, dims))
        given_distribution = labels.std if name == "box" else labels.logits
        assert th.equal(given_distribution, th.where(is_entry, numbers + 1.0, 1.0).unsqueeze(1).expand_as(given_distribution))
        seen += numbers[is_entry].tolist()
    assert sorted(seen) == list(range(n_steps * n_envs))


def test_buffer_is_in_memory_once_and_has_the_library_classes_name() -> None:
    model = make_model("dict")
    assert isinstance(model.rollout_buffer, RecurrentDictRolloutBuffer)
    assert type(model.rollout_buffer).__name__ == "TeacherRecurrentDictRolloutBuffer"
    model.learn(N_STEPS * N_ENVS)
    before = model.rollout_buffer.observations["vector"]
    model.collect_rollouts(model.env, model._init_callback(None), model.rollout_buffer, N_STEPS)
    rollout = model.rollout_buffer.observations["vector"]
    next(iter(model.rollout_buffer.get()))
    assert np.shares_memory(rollout, model.rollout_buffer.observations["vector"])
    assert not np.shares_memory(before, rollout)


def test_buffer_that_a_user_has_put_there_gets_room_for_labels() -> None:
    model = make_model()
    old = model.rollout_buffer
    model.rollout_buffer = RecurrentRolloutBuffer(
        2 * N_STEPS, old.observation_space, old.action_space, (2 * N_STEPS, 1, N_ENVS, 4), device="cpu", n_envs=N_ENVS
    )
    model.n_steps = 2 * N_STEPS
    model.learn(2 * N_STEPS * N_ENVS)
    assert model.rollout_buffer.labeled_fraction() == 1.0


def test_buffer_of_a_users_own_class_is_refused_in_a_sentence() -> None:
    class OwnBuffer(RecurrentRolloutBuffer):
        """Of the user's."""

    model = make_model()
    model.rollout_buffer.__class__ = OwnBuffer
    with pytest.raises(TeacherError, match=r"rollout buffers of sb3-contrib, and OwnBuffer is none.*imitation_coef=0\.0"):
        model.learn(N_STEPS * N_ENVS)


@pytest.mark.slow
def test_labels_of_a_teacher_in_another_process_are_the_same(no_thread_left: None) -> None:
    """It answers with what it was asked, the name of the state."""
    env = DummyVecEnv([naming_env(index, wrapped=False) for index in range(N_ENVS)])
    with_process = ProcessTeacher(PlayTeacher, verbose=0)
    model = make_model(teacher=with_process, wrap=lambda _: env).learn(2 * N_STEPS * N_ENVS)
    with_process.close()
    observations = model.rollout_buffer.observations.reshape(N_ENVS, N_STEPS, 3).swapaxes(0, 1)
    np.testing.assert_array_equal(model.rollout_buffer.teacher_actions, observations)

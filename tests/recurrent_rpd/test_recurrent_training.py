"""What RPD offers, for students with a memory: the imitation term, de-biasing, saving, the fast path."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from sb3_contrib.ppo_recurrent import MlpLstmPolicy
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, SpacesEnv, scripted_teacher
from toy_students import assert_loads_elsewhere, assert_trained_alike

from sb3_rpd import RecurrentRPD
from sb3_rpd.common.gates import SuccessGate
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.teacher import Teacher, TeacherOutput

BOX = ACTION_SPACES["box"]
N_STEPS, N_ENVS = 12, 2


def policy(**kwargs: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"net_arch": [6], "lstm_hidden_size": 5} | kwargs}


def make(action_space: spaces.Space = BOX, observation_space: spaces.Space | None = None, **kwargs: Any) -> RecurrentRPD:
    env = make_vec_env(lambda: SpacesEnv(action_space, observation_space), n_envs=N_ENVS, seed=3)
    defaults = {"n_steps": N_STEPS, "batch_size": 8, "n_epochs": 2, "seed": 5, "device": "cpu", "policy": "MlpLstmPolicy"}
    model = RecurrentRPD(env=env, **(defaults | {"teacher": scripted_teacher(action_space)} | policy() | kwargs))
    model.set_logger(configure(None, []))
    return model


def train(model: RecurrentRPD, iterations: int = 3) -> RecurrentRPD:
    return model.learn(iterations * N_STEPS * N_ENVS, log_interval=1000)


# ---------------------------------------------------------------- the term


def test_imitation_loss_is_that_of_a_walk_through_the_rollout() -> None:
    """The mean over the entries of the squared distance, each state's action taken with the memory of those before it."""
    model = make(learning_rate=0.0, n_epochs=1, batch_size=None, label_every=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "train", lambda: None)
        train(model, 1)
    buffer = model.rollout_buffer
    state, distances = None, []
    for step in range(N_STEPS):
        actions, state = model.predict(
            buffer.observations[step], state, episode_start=buffer.episode_starts[step] > 0, deterministic=True
        )
        # predict() clips to the Box, which this untrained student does not leave
        assert (np.abs(actions) < 0.9).all()
        distances.append(((actions.astype(np.float64) - buffer.teacher_actions[step]) ** 2).mean(axis=1))
    model.train()
    logged = model.logger.name_to_value
    assert logged["train/imitation_loss"] == pytest.approx(np.nanmean(distances), rel=1e-5)
    assert logged["train/labeled"] == 0.5


class Confident(Teacher):
    """Gives its distribution."""

    gives_distribution = True

    def predict(self, observations: Any, instructions: Any = None) -> TeacherOutput:
        actions = scripted_teacher(BOX)(observations).astype(np.float32)
        return TeacherOutput(actions, std=np.full_like(actions, 0.2))


@pytest.mark.parametrize(
    "arguments",
    [
        {"imitation_loss": "nll"},
        {"imitation_loss": "l1", "label_fraction": 0.3},
        {"imitation_loss": "huber", "imitation_coef": SuccessGate(0.9, coef=100.0)},
        {"imitation_loss": "kl", "teacher": Confident()},
        {"use_sde": True, **policy(squash_output=True)},
        {"action_space": ACTION_SPACES["discrete"]},
        {"action_space": ACTION_SPACES["multidiscrete"]},
        # RecurrentPPO cannot train in such a space
        {"action_space": ACTION_SPACES["multibinary"]},
    ],
    ids=["nll", "l1", "huber", "kl", "gsde", "discrete", "multidiscrete", "multibinary"],
)
def test_student_comes_nearer_to_its_teacher(arguments: dict[str, Any]) -> None:
    model = train(make(**{"learning_rate": 3e-3, "n_epochs": 5, "imitation_coef": 100.0, **arguments}), 1)
    before = model.logger.name_to_value["train/imitation_loss"]
    model.train()
    assert model.logger.name_to_value["train/imitation_loss"] < before


def test_features_in_bfloat16_are_close() -> None:
    cnn = {"policy": "CnnLstmPolicy", **policy(features_extractor_kwargs={"features_dim": 8})}
    reference, model = (train(make(BOX, IMAGE_SPACE, **cnn, bf16=bf16), 1) for bf16 in (False, True))
    parameters = zip(reference.policy.parameters(), model.policy.parameters(), strict=True)
    change = max((one - other).abs().max().item() for one, other in parameters)
    # 6 steps of 3e-4: at most 2 * 1.8e-3 apart, and some rounding in any case
    assert 0.0 < change < 2e-3
    assert all(parameter.dtype == th.float32 for parameter in model.policy.parameters())


# ---------------------------------------------------------------- de-biasing


@pytest.mark.parametrize("observation_space", [None, DICT_SPACE], ids=["vector", "dict"])
@pytest.mark.parametrize("in_order_of_training", [False, True])
def test_distribution_of_the_rollout_is_that_which_collected_it(observation_space: Any, in_order_of_training: bool) -> None:
    """Its log-probability of the actions that were taken is the one that was stored with them."""
    name = "MlpLstmPolicy" if observation_space is None else "MultiInputLstmPolicy"
    kwargs = {} if observation_space is None else policy(features_extractor_kwargs={"cnn_output_dim": 8})
    model = make(BOX, observation_space, policy=name, **kwargs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "train", lambda: None)
        train(model, 2)
    buffer = model.rollout_buffer
    if in_order_of_training:
        next(iter(buffer.get()))
    start, stop = 3, 9
    with th.no_grad():
        distribution = buffer.distribution(model.policy, start, stop)
        log_prob = distribution.log_prob(th.as_tensor(buffer.actions[start:stop].reshape(-1, 2)))
    np.testing.assert_allclose(log_prob.numpy(), buffer.log_probs[start:stop].reshape(-1), rtol=1e-5, atol=1e-6)


def test_debiasing_moves_the_labels() -> None:
    model = train(make(label_debiasing=LabelDebiasing(step_size=0.1, start=0.0)), 1)
    bias = model.label_debiasing.bias
    assert np.abs(bias).max() > 0
    labels = model.rollout_buffer.teacher_actions
    expected = scripted_teacher(BOX)(model.rollout_buffer.observations.reshape(-1, 4)).reshape(N_ENVS, N_STEPS, 2)
    expected = model.label_debiasing.correct(expected.swapaxes(0, 1).astype(np.float32), BOX)
    np.testing.assert_allclose(labels, expected, rtol=1e-6)


# ---------------------------------------------------------------- saving


@pytest.mark.slow
def test_students_load_with_plain_recurrent_ppo(tmp_path: Path) -> None:
    dict_policy = {"policy": "MultiInputLstmPolicy", **policy(features_extractor_kwargs={"cnn_output_dim": 4})}
    cnn = {"policy": "CnnLstmPolicy", **policy(features_extractor_kwargs={"features_dim": 4})}
    models = {
        "plain": make(imitation_coef=lambda left: left),
        "dict": make(BOX, DICT_SPACE, **dict_policy),
        "image": make(ACTION_SPACES["discrete"], IMAGE_SPACE, **cnn),
        "shared": make(**policy(shared_lstm=True, enable_critic_lstm=False)),
    }
    assert_loads_elsewhere({name: train(model, 1) for name, model in models.items()}, "sb3_contrib:RecurrentPPO", tmp_path)


def test_training_goes_on_after_loading(tmp_path: Path) -> None:
    model = train(make(imitation_loss="l1", imitation_coef=0.25), 1)
    model.save(tmp_path / "student")
    env = make_vec_env(lambda: SpacesEnv(BOX), n_envs=N_ENVS, seed=7)
    plain = RecurrentPPO.load(tmp_path / "student", env=env)
    plain.learn(N_STEPS * N_ENVS)
    plain.save(tmp_path / "plain")
    again = RecurrentRPD.load(tmp_path / "plain", env=env, teacher=scripted_teacher(BOX))
    assert (again.imitation_loss, again.imitation_coef) == ("l1", 0.25)
    train(again, 1)
    assert again.rollout_buffer.labeled_fraction() == 1.0
    # A teacher is a plain attribute
    again.teacher = lambda observations: np.zeros((len(observations), 2))
    train(again, 1)
    assert (again.rollout_buffer.teacher_actions == 0).all()


# ---------------------------------------------------------------- the fast path

FAST_CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "discrete": {"action_space": ACTION_SPACES["discrete"]},
    "shared_lstm": policy(shared_lstm=True, enable_critic_lstm=False),
    "no_critic_lstm": policy(enable_critic_lstm=False),
    "two_layers": policy(n_lstm_layers=2),
    "gsde": {"use_sde": True},
    "dict": {
        "observation_space": DICT_SPACE,
        "policy": "MultiInputLstmPolicy",
        **policy(features_extractor_kwargs={"cnn_output_dim": 8}),
    },
    "kl": {"imitation_loss": "kl", "teacher": Confident()},
    "clip_range_vf": {"clip_range_vf": 0.05, "learning_rate": 1e-2},
    "target_kl": {"target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 6},
    "whole_rollout": {"batch_size": None},
}


@pytest.mark.parametrize("case", FAST_CASES)
def test_fast_path_is_the_plain_path_up_to_rounding(case: str) -> None:
    plain, fast = (train(make(**FAST_CASES[case], fast=fast)) for fast in (False, True))
    assert_trained_alike(plain, fast)


@pytest.mark.parametrize(
    ("arguments", "is_fast"),
    [({}, True), ({"fast": False}, False), ({"imitation_coef": 0.0}, False), ({"imitation_coef": 0.0, "fast": True}, True)],
)
def test_lstm_is_called_once_for_each_minibatch_on_the_fast_path(arguments: dict[str, Any], is_fast: bool) -> None:
    model = make(batch_size=None, n_epochs=1, **arguments)
    lengths: list[int] = []
    forward = model.policy.lstm_actor.forward

    def counted(sequences: th.Tensor, states: Any) -> Any:
        lengths.append(len(sequences))
        return forward(sequences, states)

    model.policy.lstm_actor.forward = counted  # type: ignore[method-assign]
    train(model, 1)
    # Collecting is one step at a time; episodes are 5 and 7 steps long
    in_training = lengths[N_STEPS:]
    assert in_training == ([7] if is_fast else [1] * 7)
    assert "_process_sequence" not in vars(model.policy)


class OwnSequences(MlpLstmPolicy):
    """Does something of its own."""

    @staticmethod
    def _process_sequence(*args: Any) -> Any:
        return MlpLstmPolicy._process_sequence(*args)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"policy": OwnSequences}, r"OwnSequences has its own _process_sequence\(\)"),
        (policy(n_lstm_layers=2, lstm_kwargs={"dropout": 0.5}), "its LSTM has a dropout"),
    ],
    ids=["policy", "dropout"],
)
def test_what_the_fast_path_does_not_cover(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"fast=True, but the fast path does not cover this model: {message}"):
        make(**arguments, fast=True)
    model = make(**arguments)
    assert model.why_not_fast() is not None
    train(model, 1)


def test_hook_and_method_of_ones_own_keep_a_model_off_the_fast_path() -> None:
    model = make()
    assert model.why_not_fast() is None
    assert model.training_path() == "fast path: whole sequences through the LSTM"
    handle = model.policy.lstm_critic.register_forward_hook(lambda *args: None)
    assert "a hook" in model.why_not_fast()
    handle.remove()
    model.policy._process_sequence = MlpLstmPolicy._process_sequence
    assert "its own _process_sequence()" in model.why_not_fast()

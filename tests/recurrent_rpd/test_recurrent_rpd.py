"""Without imitation RecurrentRPD is the installed RecurrentPPO, to the last bit."""

import inspect
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import RecurrentPPO
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, SpacesEnv, scripted_teacher
from toy_students import assert_logged, assert_same_to_the_last_bit, train_small

from sb3_rpd import RPD, RecurrentRPD

BOX = ACTION_SPACES["box"]


def policy(name: str = "MlpLstmPolicy", **kwargs: Any) -> dict[str, Any]:
    return {"policy": name, "policy_kwargs": {"net_arch": [6], "lstm_hidden_size": 5} | kwargs}


CNN = policy("CnnLstmPolicy", features_extractor_kwargs={"features_dim": 8})
# name: (action space, observation space, arguments)
CASES: dict[str, tuple[spaces.Space, spaces.Space | None, dict[str, Any]]] = {
    **{name: (ACTION_SPACES[name], None, policy()) for name in ("box", "discrete", "multidiscrete")},
    "shared_lstm": (BOX, None, policy(shared_lstm=True, enable_critic_lstm=False)),
    "no_critic_lstm": (BOX, None, policy(enable_critic_lstm=False)),
    "two_layers_with_dropout": (BOX, None, policy(n_lstm_layers=2, lstm_kwargs={"dropout": 0.3})),
    "image": (ACTION_SPACES["discrete"], IMAGE_SPACE, CNN),
    "separate_extractors": (BOX, None, policy(share_features_extractor=False)),
    "dict": (BOX, DICT_SPACE, policy("MultiInputLstmPolicy", features_extractor_kwargs={"cnn_output_dim": 8})),
    "gsde": (BOX, None, {**policy(), "use_sde": True, "sde_sample_freq": 3}),
    "gsde_squashed": (BOX, None, {**policy(squash_output=True), "use_sde": True, "ent_coef": 0.01}),
    "losses_weights": (BOX, None, {**policy(), "ent_coef": 0.01, "vf_coef": 0.3, "normalize_advantage": False}),
    "clip_range_vf": (BOX, None, {**policy(), "clip_range_vf": 0.1}),
    "schedules": (BOX, None, {**policy(), "learning_rate": lambda left: 1e-3 * left, "clip_range": lambda left: 0.2 * left}),
    "target_kl": (BOX, None, {**policy(), "target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 6}),
    "whole_rollout": (BOX, None, {**policy(), "batch_size": None}),
    "truncated_minibatch": (BOX, None, {**policy(), "batch_size": 11}),
}


def train(algorithm: type[RecurrentPPO], case: str, iterations: int = 3, **kwargs: Any) -> RecurrentPPO:
    action_space, observation_space, arguments = CASES[case]
    env = make_vec_env(lambda: SpacesEnv(action_space, observation_space), n_envs=2, seed=3)
    return train_small(algorithm, env, arguments | kwargs, iterations)


@pytest.mark.filterwarnings("ignore:RecurrentRPD has no teacher")
@pytest.mark.parametrize(("case", "teacher"), [*((case, "coefficient_0") for case in CASES), ("box", "no_teacher")])
def test_parameters_and_log_are_those_of_recurrent_ppo(case: str, teacher: str) -> None:
    with_teacher = {"teacher": scripted_teacher(CASES[case][0]), "imitation_coef": 0.0}
    plain, ours = train(RecurrentPPO, case), train(RecurrentRPD, case, **(with_teacher if teacher == "coefficient_0" else {}))
    assert_same_to_the_last_bit(plain, ours)
    assert_logged(plain, ours)


@pytest.mark.filterwarnings("ignore:RecurrentRPD has no teacher")
def test_target_kl_ends_epochs_early_in_its_case() -> None:
    assert train(RecurrentRPD, "target_kl")._n_updates < 3 * 6


@pytest.mark.filterwarnings("ignore:RecurrentRPD has no teacher")
def test_minibatch_of_one_entry_is_not_normalized_to_nan() -> None:
    """RecurrentPPO divides by the standard deviation of a single number, and its parameters are NaN from then on."""
    parameters = train(RecurrentRPD, "box", iterations=1, batch_size=23).policy.parameters()
    assert all(parameter.isfinite().all() for parameter in parameters)


def test_labeling_leaves_the_students_randomness_alone() -> None:
    plain = train(RecurrentPPO, "box", iterations=1)
    ours = train(RecurrentRPD, "box", iterations=1, teacher=scripted_teacher(BOX), label_fraction=0.5)
    assert 0 < ours.rollout_buffer.labeled_fraction() < 1
    np.testing.assert_array_equal(plain.rollout_buffer.actions, ours.rollout_buffer.actions)


def test_arguments_are_recurrent_ppos_and_then_those_of_rpd() -> None:
    theirs, ours = (inspect.signature(algorithm).parameters for algorithm in (RecurrentPPO, RecurrentRPD))
    own = {name: parameter for name, parameter in ours.items() if name not in theirs}
    assert list(ours) == [*theirs, *own]
    assert {name: ours[name].default for name in theirs} == {name: parameter.default for name, parameter in theirs.items()}
    of_rpd = [p for p in inspect.signature(RPD).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert list(own.values()) == of_rpd


def test_teacher_in_the_place_of_the_learning_rate_is_named() -> None:
    env = make_vec_env(lambda: SpacesEnv(BOX), n_envs=1)
    with pytest.raises(TypeError, match="A teacher goes in by its name"):
        RecurrentRPD("MlpLstmPolicy", env, scripted_teacher(BOX))


def test_without_a_teacher_it_says_whose_training_this_is() -> None:
    with pytest.warns(UserWarning, match=r"^RecurrentRPD has no teacher and trains as RecurrentPPO\. Give it one") as warned:
        train(RecurrentRPD, "box", iterations=1)
    # Where learn() is called
    assert [warning.filename for warning in warned] == [inspect.getfile(train_small)]

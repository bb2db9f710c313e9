"""Where RPD's hyperparameters are searched: what becomes of a trial's numbers."""

from typing import Any

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from rl_zoo3.hyperparams_opt import HYPERPARAMS_CONVERTER, HYPERPARAMS_SAMPLER
from torch import nn
from zoo_trials import PARAMS, PPO_PARAMS

from sb3_rpd.zoo.search_space import rpd_converter, rpd_sampler

SAMPLE = rpd_sampler(HYPERPARAMS_SAMPLER["ppo"])
CONVERT = rpd_converter(HYPERPARAMS_CONVERTER["ppo"])
SAMPLE_LSTM = rpd_sampler(HYPERPARAMS_SAMPLER["ppo_lstm"])
CONVERT_LSTM = rpd_converter(HYPERPARAMS_CONVERTER["ppo_lstm"])

PPO_ARGUMENTS = dict(
    n_steps=32,
    batch_size=16,
    gamma=0.99,
    gae_lambda=0.95,
    learning_rate=1e-3,
    ent_coef=1e-6,
    clip_range=0.2,
    n_epochs=5,
    max_grad_norm=0.5,
)


def sampled(params: dict[str, Any], n_actions: int) -> dict[str, Any]:
    return SAMPLE(optuna.trial.FixedTrial(params), n_actions, 2, {})


@pytest.mark.parametrize(
    ("annealing", "coef"),
    [
        ("constant", 4.0),
        ("linear", {"LinearCoef": {"start": 4.0, "end_fraction": 0.5}}),
        ("cosine", {"CosineCoef": {"start": 4.0, "end_fraction": 0.5}}),
    ],
)
def test_numbers_become_arguments(annealing: str, coef: Any) -> None:
    params = PARAMS | {"imitation_annealing": annealing}
    policy_kwargs = {"net_arch": {"pi": [64], "vf": [64]}, "activation_fn": nn.ReLU, "log_std_init": -2.0}
    expected = PPO_ARGUMENTS | {"policy_kwargs": policy_kwargs, "imitation_coef": coef}

    assert sampled(params, n_actions=1) == expected
    assert CONVERT(params) == expected
    # the zoo searches the same of RecurrentPPO
    assert SAMPLE_LSTM(optuna.trial.FixedTrial(params), 1, 2, {}) == expected
    assert CONVERT_LSTM(params) == expected


def test_only_vectors_have_a_standard_deviation() -> None:
    params = {name: value for name, value in PARAMS.items() if name != "log_std_init"}
    assert "log_std_init" not in sampled(params, n_actions=0)["policy_kwargs"]
    assert CONVERT(params) == sampled(params, n_actions=0)


def test_the_space_is_what_is_written() -> None:
    trial = optuna.create_study().ask()
    SAMPLE(trial, 2, 1, {})
    own: dict[str, BaseDistribution] = {name: one for name, one in trial.distributions.items() if name not in PPO_PARAMS}
    assert own == {
        "imitation_coef": FloatDistribution(0.1, 30.0, log=True),
        "imitation_annealing": CategoricalDistribution(["constant", "linear", "cosine"]),
        "imitation_end_fraction": FloatDistribution(0.2, 1.0),
        "log_std_init": FloatDistribution(-3.0, 0.0),
    }

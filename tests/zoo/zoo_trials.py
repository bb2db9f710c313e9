"""Trials of a search, waiting to be tried."""

from collections.abc import Sequence
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

#: A trial's parameters: those of the zoo's PPO, and those of RPD.
PPO_PARAMS: dict[str, Any] = dict(
    n_steps_pow=5,
    batch_size_pow=4,
    one_minus_gamma=0.01,
    one_minus_gae_lambda=0.05,
    learning_rate=1e-3,
    ent_coef=1e-6,
    clip_range=0.2,
    n_epochs=5,
    max_grad_norm=0.5,
    net_arch="tiny",
    activation_fn="relu",
)
PARAMS: dict[str, Any] = PPO_PARAMS | dict(
    imitation_coef=4.0, imitation_annealing="linear", imitation_end_fraction=0.5, log_std_init=-2.0
)


def waiting_study(path: str, name: str, trials: Sequence[dict[str, Any]]) -> optuna.Study:
    """A study in a file whose first trials are these, instead of some that may take long."""
    study = optuna.create_study(storage=JournalStorage(JournalFileBackend(path)), study_name=name, direction="maximize")
    for params in trials:
        study.enqueue_trial(params)
    return study

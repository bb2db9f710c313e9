"""Where the zoo's ``--optimize-hyperparameters`` looks for those of RPD: PPO's search space of the zoo, and RPD's own."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Trial

#: Of the zoo: (trial, dimensions of the action, 0 if it is no vector, environments, arguments of other algorithms).
Sampler = Callable[["Trial", int, int, dict[str, Any]], dict[str, Any]]
#: From the parameters of a trial to arguments of an algorithm.
Converter = Callable[[dict[str, Any]], dict[str, Any]]

#: Names of a trial's parameters that are not PPO's.
_OWN = ("imitation_coef", "imitation_annealing", "imitation_end_fraction", "log_std_init")
_ANNEALED = {"linear": "LinearCoef", "cosine": "CosineCoef"}


def rpd_sampler(sample_ppo: Sampler) -> Sampler:
    """
    Make the sampler of RPD.

    The imitation coefficient is searched from 0.1 to 30, constant or annealed to 0 in a straight line or along half a cosine,
    which ends after 0.2 to 1 of the training; for vectors as actions also the logarithm of the initial standard deviation of
    exploration, from -3 to 0.

    :param sample_ppo: PPO's.
    :return: RPD's, which returns arguments as ``read_named_values`` takes them.
    """

    def sample(trial: "Trial", n_actions: int, n_envs: int, additional_args: dict[str, Any]) -> dict[str, Any]:
        own = {
            "imitation_coef": trial.suggest_float("imitation_coef", 0.1, 30.0, log=True),
            "imitation_annealing": trial.suggest_categorical("imitation_annealing", ["constant", *_ANNEALED]),
            # Also where it has no effect: the zoo's sampler wants the same parameters in each trial
            "imitation_end_fraction": trial.suggest_float("imitation_end_fraction", 0.2, 1.0),
        }
        if n_actions > 0:
            own["log_std_init"] = trial.suggest_float("log_std_init", -3.0, 0.0)
        return _join(sample_ppo(trial, n_actions, n_envs, additional_args), own)

    return sample


def rpd_converter(convert_ppo: Converter) -> Converter:
    """
    Make the converter of RPD, by which the zoo trains with the hyperparameters of a trial.

    :param convert_ppo: PPO's.
    :return: RPD's.
    """

    def convert(params: dict[str, Any]) -> dict[str, Any]:
        own = {name: params[name] for name in _OWN if name in params}
        return _join(convert_ppo({name: value for name, value in params.items() if name not in own}), own)

    return convert


def _join(ppo: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    policy_kwargs = dict(ppo["policy_kwargs"])
    if "log_std_init" in own:
        policy_kwargs["log_std_init"] = own["log_std_init"]
    coef = own["imitation_coef"]
    if own["imitation_annealing"] in _ANNEALED:
        annealing = {"start": coef, "end_fraction": own["imitation_end_fraction"]}
        coef = {_ANNEALED[own["imitation_annealing"]]: annealing}
    return {**ppo, "policy_kwargs": policy_kwargs, "imitation_coef": coef}

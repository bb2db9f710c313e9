"""The methods that are compared, each as a class of students and its arguments."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stable_baselines3 import PPO

from experiments.dagger import DAgger
from experiments.worlds.world import World
from sb3_rpd import RPD
from sb3_rpd.common.gates import RewardTrendGate
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.losses import Cosine
from sb3_rpd.common.presets import recommended


@dataclass(frozen=True)
class Method:
    """
    :param label: What the report calls it.
    :param algorithm: The class of the student; None where the teacher acts by itself.
    :param arguments: What it is given in a world beside that world's settings.
    :param needs_distribution: Whether its teacher must give a distribution.
    """

    label: str
    algorithm: type[PPO] | None
    arguments: Callable[[World], dict[str, Any]] = lambda world: {}
    needs_distribution: bool = False

    @property
    def has_teacher(self) -> bool:
        """Whether it asks a teacher at all."""
        return self.algorithm is not PPO


def _imitating(loss: str) -> Callable[[World], dict[str, Any]]:
    return lambda world: {"imitation_loss": loss, "imitation_coef": world.coefs[loss]}


def _directional(world: World) -> dict[str, Any]:
    gate = RewardTrendGate(coef=world.coefs["cosine"], **world.shut_off)
    return {"imitation_loss": Cosine(groups=world.directions), "imitation_coef": gate, "label_fraction": 0.2}


def _aggregating(world: World) -> dict[str, Any]:
    # With as many gradient steps as the others it lacks these, and not labels: it is cheap, and deserves four times as many
    return {"imitation_loss": "mse", "n_epochs": 4 * world.settings["n_epochs"]}


def _recommended(world: World) -> dict[str, Any]:
    return {**recommended(world.coefs["mse"], world.final_coef), "label_memory": LabelMemory(**world.label_memory)}


def _undebiased(world: World) -> dict[str, Any]:
    return {**_recommended(world), "label_debiasing": None}


def _only(name: str) -> Callable[[World], dict[str, Any]]:
    # What one part of the recommended setting is good for by itself
    return lambda world: {"imitation_coef": world.coefs["mse"], name: _recommended(world)[name]}


#: What the teacher achieves by itself, in the episodes in which the students are evaluated.
TEACHER = "teacher"

METHODS: Mapping[str, Method] = {
    TEACHER: Method("teacher alone", None),
    "ppo": Method("PPO", PPO),
    "rpd": Method("RPD (paper: MSE)", RPD, _imitating("mse")),
    "l1": Method("RPD, L1", RPD, _imitating("l1")),
    "bc": Method("RPD, BC (NLL)", RPD, _imitating("nll")),
    "ppd": Method("PPD (KL)", RPD, _imitating("kl"), needs_distribution=True),
    "directional": Method("directional, shut off", RPD, _directional),
    "dagger": Method("DAgger", DAgger, _aggregating),
    "recommended": Method("RPD, recommended", RPD, _recommended),
    "undebiased": Method("RPD, recommended without de-biasing", RPD, _undebiased),
    "annealed": Method("only annealed", RPD, _only("imitation_coef")),
    "debiased": Method("only de-biased", RPD, _only("label_debiasing")),
    "remembering": Method("only with a memory", RPD, _only("label_memory")),
    "waiting": Method("only waiting for a reward", RPD, _only("wait_for_reward")),
}
#: Those that take the recommended setting apart.
PARTS = ("undebiased", "annealed", "debiased", "remembering", "waiting")

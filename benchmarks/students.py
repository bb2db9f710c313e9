"""The students whose training is timed: a network, a distribution over actions, and the size of their rollouts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from free_env import END_EFFECTOR_SPACE
from gymnasium import spaces


@dataclass(frozen=True)
class Student:
    """
    :param policy: The alias of its class.
    :param observation_space: A Box with bounds; images channels first.
    :param action_space: What it chooses from.
    :param n_envs: Environments.
    :param n_steps: Steps of each in a rollout.
    :param batch_size: Rows of a minibatch.
    :param n_epochs: Epochs over a rollout.
    :param train_rounds: How many rounds ``train()`` is timed in.
    :param loop_rounds: How many rounds a whole iteration is timed in, 0 for none.
    :param options: Further arguments of PPO.
    """

    policy: str
    observation_space: spaces.Box
    action_space: spaces.Space[Any]
    n_envs: int
    n_steps: int
    batch_size: int
    n_epochs: int
    train_rounds: int
    loop_rounds: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of PPO."""
        sizes = {"n_steps": self.n_steps, "batch_size": self.batch_size, "n_epochs": self.n_epochs}
        return {"seed": 0, **sizes, **self.options}

    @property
    def has_diagonal_gaussian(self) -> bool:
        """What the rivals that ask for an action's distance are written for."""
        return isinstance(self.action_space, spaces.Box) and not self.options


_STATES = spaces.Box(-1.0, 1.0, (30,), np.float32)
_IMAGES = spaces.Box(0, 255, (3, 128, 128), np.uint8)
_SMALL_IMAGES = spaces.Box(0, 255, (3, 36, 36), np.uint8)

#: (action space, further arguments of PPO) of the students that differ from "mlp" in nothing else.
_HEADS: dict[str, tuple[spaces.Space[Any], dict[str, Any]]] = {
    "mlp": (END_EFFECTOR_SPACE, {}),
    "categorical": (spaces.Discrete(7), {}),
    "multicategorical": (spaces.MultiDiscrete([3, 3, 3, 3, 3, 3, 2]), {}),
    "bernoulli": (spaces.MultiBinary(7), {}),
    "gsde": (END_EFFECTOR_SPACE, {"use_sde": True}),
    "squashed_gsde": (END_EFFECTOR_SPACE, {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
}

STUDENTS = {
    **{
        name: Student("MlpPolicy", _STATES, action_space, 8, 256, 256, 8, 25, 25, options)
        for name, (action_space, options) in _HEADS.items()
    },
    "cnn": Student("CnnPolicy", _IMAGES, END_EFFECTOR_SPACE, 8, 64, 128, 2, train_rounds=5, loop_rounds=0),
}
#: Rounds of milliseconds.
QUICK = {
    **{
        name: Student("MlpPolicy", _STATES, action_space, 2, 16, 16, 2, 2, 2, options)
        for name, (action_space, options) in _HEADS.items()
    },
    "cnn": Student("CnnPolicy", _SMALL_IMAGES, END_EFFECTOR_SPACE, 2, 8, 8, 1, train_rounds=2, loop_rounds=2),
}

"""Keeps the labels of earlier rollouts, and imitates them once more after each training."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import TensorDict

from sb3_rpd.common.buffers import LabeledEntries, TeacherLabelsMixin
from sb3_rpd.common.image_shifts import image_names, randomly_shifted
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses import ImitationLoss

#: Names of what is kept; "observations/" goes before the name of each, which is "" where there are no several.
_ACTIONS, _DISTRIBUTION, _OBSERVATIONS = "actions", "distribution", "observations/"


@dataclass
class LabelMemory:
    """
    Lets the student imitate the labels of earlier rollouts, too, and not those of the last one only.

    PPO has to forget its rollout after a few epochs, since it is about the policy that collected it. What the teacher would do
    in a state stays true, so that imitation may go over earlier labels as often as it likes (the aggregation of DAgger,
    Ross et al. 2011). After each training on a rollout the student takes steps on the imitation loss alone, of minibatches
    drawn from the memory, as many as ::

        minibatches * labeled share**2 * imitation_coef / its largest value so far * (1 - success rate)**2

    so that labels are drawn the less often the fewer they are, or else the student would learn the noise in them by heart;
    and the memory gives way as the student succeeds, or as a schedule takes the imitation back: held on to its teacher, a
    student would never be better than it.

    :param minibatches: How many of them while the student fails throughout, if all entries of the last rollout have a label.
    :param batch_size: Labels in each of them.
    :param capacity: Labels that are kept, each with its observation; the oldest make room. 10,000 images of 64 x 64 x 3 bytes
        take 123 MB.
    :param learning_rate: That of an Adam of the memory's own; None for the student's at the time.
    :param random_shift: By how many pixels at most each image that is drawn is moved, at random. A memory goes over the same
        images often, and a network soon knows these by heart. 0 leaves them as they are.
    :raises ValueError: if a setting is out of its range.
    """

    minibatches: int = 64
    batch_size: int = 512
    capacity: int = 10_000
    learning_rate: float | None = None
    random_shift: int = 0
    _kept: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False, compare=False)
    _next: int = field(default=0, init=False, repr=False, compare=False)
    _size: int = field(default=0, init=False, repr=False, compare=False)
    _labeled_share: float = field(default=0.0, init=False, repr=False, compare=False)
    _largest_coef: float = field(default=0.0, init=False, repr=False, compare=False)
    _optimizer: th.optim.Optimizer | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("minibatches", "batch_size", "capacity"):
            if getattr(self, name) < 1:
                raise ValueError(f"LabelMemory's {name} must be at least 1, not {getattr(self, name)}.")
        if self.learning_rate is not None and not 0.0 < self.learning_rate < math.inf:
            raise ValueError(f"LabelMemory's learning_rate must be finite and > 0, not {self.learning_rate}.")
        if self.random_shift < 0:
            raise ValueError(f"LabelMemory's random_shift is a number of pixels, at least 0, not {self.random_shift}.")

    def __len__(self) -> int:
        return self._size

    def __getstate__(self) -> dict[str, Any]:
        # Labels are not the student's, and an optimizer belongs to the parameters of one policy
        return {**vars(self), "_kept": {}, "_next": 0, "_size": 0, "_optimizer": None}

    def check(self, policy: ActorCriticPolicy) -> None:
        """
        :param policy: The student's.
        :raises ValueError: if it does not act on one observation alone, or images are to be moved and it sees none.
        """
        if self.random_shift and not image_names(policy.observation_space):
            raise ValueError(
                f"LabelMemory(random_shift={self.random_shift}) moves images, and there are none in the observation space "
                f"{policy.observation_space}. Leave random_shift out."
            )
        _, *others = inspect.signature(policy.get_distribution).parameters.values()
        if any(parameter.default is parameter.empty for parameter in others):
            raise ValueError(
                f"LabelMemory draws single observations, and a {type(policy).__name__} needs those before them. Leave it out."
            )

    def restart(self) -> None:
        """Forget everything, for a training that begins anew."""
        self._kept, self._next, self._size, self._labeled_share, self._largest_coef, self._optimizer = {}, 0, 0, 0.0, 0.0, None

    def add(self, buffer: TeacherLabelsMixin) -> None:
        """
        :param buffer: A complete rollout, the labels of which are the teacher's own.
        """
        self._labeled_share = buffer.labeled_fraction()
        entries = buffer.labeled_entries()
        columns = _columns(entries)
        places = (self._next + np.arange(len(entries.actions))) % self.capacity
        for name, rows in columns.items():
            if name not in self._kept:
                # Memory is taken as it is filled. A teacher may have given nothing but actions so far
                self._kept[name] = np.empty((self.capacity, *rows.shape[1:]), rows.dtype)
                self._kept[name][: self._size] = 1.0
            # Of several rows for one place the last stays
            self._kept[name][places] = rows
        for name in self._kept.keys() - columns.keys():
            self._kept[name][places] = 1.0
        self._next = (self._next + len(places)) % self.capacity
        self._size = min(self._size + len(places), self.capacity)

    def imitate(
        self,
        policy: ActorCriticPolicy,
        imitation_loss: ImitationLoss,
        *,
        imitation_coef: float,
        success_rate: float | None,
        correct: Callable[[np.ndarray], np.ndarray],
        generator: np.random.Generator,
    ) -> list[th.Tensor]:
        """
        Train a policy on minibatches of what is kept.

        :param policy: The student's.
        :param imitation_loss: What makes the loss of a minibatch. The probability ratio that it is given is 1.
        :param imitation_coef: The present imitation coefficient.
        :param success_rate: The student's success rate over its last episodes; None, where it is not known, counts as 0.
        :param correct: From the teacher's actions, shape (n, action_dim), to what is to be imitated.
        :param generator: Draws the minibatches.
        :return: The loss of each minibatch.
        """
        self._largest_coef = max(self._largest_coef, imitation_coef)
        failure_rate = 1.0 if success_rate is None or math.isnan(success_rate) else 1.0 - success_rate
        if self._size == 0 or self._largest_coef == 0.0:
            return []
        factor = self._labeled_share**2 * imitation_coef / self._largest_coef * failure_rate**2
        n_minibatches = round(self.minibatches * factor)
        return [self._step(policy, imitation_loss, correct, generator) for _ in range(n_minibatches)]

    def _step(
        self,
        policy: ActorCriticPolicy,
        imitation_loss: ImitationLoss,
        correct: Callable[[np.ndarray], np.ndarray],
        generator: np.random.Generator,
    ) -> th.Tensor:
        rows = generator.integers(self._size, size=self.batch_size)
        drawn = {name: kept[rows] for name, kept in self._kept.items()}
        drawn[_ACTIONS] = correct(drawn[_ACTIONS])
        if self.random_shift:
            for name in (_OBSERVATIONS + image for image in image_names(policy.observation_space)):
                drawn[name] = randomly_shifted(drawn[name], self.random_shift, generator)
        columns = {name: th.as_tensor(array, device=policy.device) for name, array in drawn.items()}
        distribution = policy.get_distribution(_observations(columns))
        ones = th.ones(self.batch_size, device=policy.device)
        is_box = isinstance(policy.action_space, spaces.Box)
        of_teacher = columns.get(_DISTRIBUTION)
        labels = TeacherLabels(
            columns[_ACTIONS], ones.bool(), std=of_teacher if is_box else None, logits=None if is_box else of_teacher
        )
        loss = imitation_loss(distribution, labels, ones, 0.0)
        optimizer = self._optimizer_for(policy)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        return loss.detach()

    def _optimizer_for(self, policy: ActorCriticPolicy) -> th.optim.Optimizer:
        parameters = [*policy.parameters()]
        known = [] if self._optimizer is None else self._optimizer.param_groups[0]["params"]
        if self._optimizer is None or [*map(id, known)] != [*map(id, parameters)]:
            # Also where the model has been given another policy
            self._optimizer = th.optim.Adam(parameters)
        (group,) = self._optimizer.param_groups
        (of_student, *_) = policy.optimizer.param_groups
        group["lr"] = of_student["lr"] if self.learning_rate is None else self.learning_rate
        return self._optimizer


def _columns(entries: LabeledEntries) -> dict[str, np.ndarray]:
    """Entries as arrays by name, first axis the entries."""
    observations = entries.observations
    if not isinstance(observations, dict):
        observations = {"": observations}
    columns = {_OBSERVATIONS + name: array for name, array in observations.items()} | {_ACTIONS: entries.actions}
    return columns if entries.distribution is None else columns | {_DISTRIBUTION: entries.distribution}


def _observations(columns: dict[str, th.Tensor]) -> th.Tensor | TensorDict:
    own = [name for name in columns if name.startswith(_OBSERVATIONS)]
    observations = {name.removeprefix(_OBSERVATIONS): columns[name] for name in own}
    return observations.get("", observations)

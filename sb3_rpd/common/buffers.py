"""Rollout buffers with one teacher action for each entry."""

import functools
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import DictRolloutBufferSamples, RolloutBufferSamples, TensorDict
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs

from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.teacher_outputs import CheckedOutput

#: Called with the position and the observations of a step that is added, and with what only some algorithms add.
OnAdd: TypeAlias = Callable[[int, VecEnvObs, Mapping[str, Any]], None]


class TeacherRolloutBufferSamples(NamedTuple):
    """A minibatch: the fields of SB3's ``RolloutBufferSamples`` and the teacher's labels for the same entries."""

    observations: th.Tensor | TensorDict
    actions: th.Tensor
    old_values: th.Tensor
    old_log_prob: th.Tensor
    advantages: th.Tensor
    returns: th.Tensor
    teacher_labels: TeacherLabels


class LabeledEntries(NamedTuple):
    """
    Some entries of a rollout with the teacher's labels; first axis the entries.

    :param observations: The student's observations, an array, or one for each name.
    :param actions: The labels, shape (n, action_dim).
    :param distribution: What else the teacher gave, a standard deviation or logits, shape (n, k); None for nothing.
    """

    observations: np.ndarray | dict[str, np.ndarray]
    actions: np.ndarray
    distribution: np.ndarray | None


class TeacherLabelsMixin(RolloutBuffer):
    """
    Adds the teacher's labels to a rollout buffer.

    A label has the units of the buffer's ``actions``: the environment's, or [-1, 1] under a squashing policy. NaN means
    "no label". Labels and observations are stored environment-major, which is the order into which SB3 flattens a rollout:
    it then does so without a copy, and the rollout is in memory once and not twice.
    """

    #: Shape (buffer_size, n_envs, action_dim), float32, NaN where there is no label.
    teacher_actions: np.ndarray
    #: None for nobody.
    on_add: OnAdd | None = None

    def add(self, obs: Any, *args: Any, **kwargs: Any) -> None:
        """
        Add a step; see SB3's ``RolloutBuffer``.

        :param obs: The student's observations.
        :param args: See SB3's.
        :param kwargs: See SB3's.
        """
        if self.on_add is not None:
            self.on_add(self.pos, obs, kwargs)
        super().add(obs, *args, **kwargs)

    @contextmanager
    def announcing(self, on_add: OnAdd) -> Iterator[None]:
        """
        Inside, each step that is added is announced.

        :param on_add: Called before it is stored.
        """
        self.on_add = on_add
        try:
            yield
        finally:
            del self.on_add

    def reset(self) -> None:
        self._flat_actions = np.full((self.n_envs * self.buffer_size, self.action_dim), np.nan, dtype=np.float32)
        self.teacher_actions = self._flat_actions.reshape(self.n_envs, self.buffer_size, -1).swapaxes(0, 1)
        self._flat_distributions: np.ndarray | None = None
        # Those of the last rollout, before there is memory for those of the next
        self.observations: Any = None
        super().reset()
        self._map_observations(self._env_major)

    def _map_observations(self, function: Callable[[np.ndarray], np.ndarray]) -> None:
        if isinstance(self.observations, dict):
            self.observations = {name: function(array) for name, array in self.observations.items()}
        else:
            self.observations = function(self.observations)

    def _env_major(self, array: np.ndarray) -> np.ndarray:
        """The same empty array of shape (buffer_size, n_envs, ...) with its memory in another order."""
        if array.shape[:2] != (self.buffer_size, self.n_envs):
            # The layout of a user's class
            return array
        return array.reshape(self.n_envs, self.buffer_size, *array.shape[2:]).swapaxes(0, 1)

    def add_labels(self, steps: np.ndarray, envs: np.ndarray, output: CheckedOutput) -> None:
        """
        Write labels. Other entries are not touched, so a background thread may do it while ``add`` goes on.

        :param steps: Position in the rollout of each of n entries.
        :param envs: Environment of each of n entries.
        :param output: Actions of shape (n, action_dim), with NaN rows for "no label", and what else the teacher gave.
        """
        entries = envs * self.buffer_size + steps
        self._flat_actions[entries] = output.actions
        if output.distribution is not None:
            if self._flat_distributions is None:
                shape = (len(self._flat_actions), output.distribution.shape[1])
                self._flat_distributions = np.ones(shape, dtype=np.float32)
            self._flat_distributions[entries] = output.distribution

    def flatten(self) -> None:
        """What the first call of ``get`` does: the first axis of all that it returns is made the entries."""
        assert self.full, "The rollout is not complete."
        if self.generator_ready:
            return
        for name in ("actions", "values", "log_probs", "advantages", "returns"):
            setattr(self, name, self.swap_and_flatten(getattr(self, name)))
        self._map_observations(self.swap_and_flatten)
        self.generator_ready = True

    def drop_forbidden_labels(self) -> int:
        """
        Drop labels that the student cannot follow in their entry's state, in buffers that know of any.

        :return: How many.
        """
        return 0

    def labeled_fraction(self) -> float:
        """:return: The share of the rollout's entries that have a label."""
        return float(np.mean(~np.isnan(self._flat_actions).any(axis=1)))

    def in_present_order(self, flat: np.ndarray) -> np.ndarray:
        """
        :param flat: One row for each entry, in environment-major order.
        :return: A view in the order in which observations and actions are: that of training, or before it SB3's, of shape
            (buffer_size, n_envs, k).
        """
        return flat if self.generator_ready else flat.reshape(self.n_envs, self.buffer_size, -1).swapaxes(0, 1)

    def labels_in_present_order(self) -> np.ndarray:
        """:return: All labels, a view, with those axes first that ``actions`` have at present; NaN where there is none."""
        return self.in_present_order(self._flat_actions)

    def labeled_entries(self) -> LabeledEntries:
        """:return: A copy of all entries that have a label, in any order."""
        labels = self.labels_in_present_order()
        labeled = ~np.isnan(labels).any(axis=-1)
        of_teacher = None
        if self._flat_distributions is not None:
            of_teacher = self.in_present_order(self._flat_distributions)[labeled]
        if isinstance(self.observations, dict):
            observations: Any = {name: array[labeled] for name, array in self.observations.items()}
        else:
            observations = self.observations[labeled]
        return LabeledEntries(observations, labels[labeled], of_teacher)

    def _get_samples(self, batch_inds: np.ndarray, *args: Any, **kwargs: Any) -> TeacherRolloutBufferSamples:  # type: ignore[override]
        samples = super()._get_samples(batch_inds, *args, **kwargs)
        return _with_labels(cast(Any, type(samples)))(*samples, self.minibatch_labels(batch_inds))

    def minibatch_labels(self, entries: np.ndarray) -> TeacherLabels:
        """
        :param entries: Indices of the entries of the minibatch that is being made.
        :return: The labels of its rows: those of the entries, unless a class lays them out otherwise.
        """
        return self.labels(entries)

    def labels(self, entries: np.ndarray) -> TeacherLabels:
        """
        :param entries: Indices of entries, in environment-major order.
        :return: Their labels, on the device.
        """
        actions = self._flat_actions[entries]
        labeled = ~np.isnan(actions).any(axis=1)
        actions[~labeled] = 0.0
        distribution = None
        if self._flat_distributions is not None:
            distribution = self.to_torch(self._flat_distributions[entries])
        is_box = isinstance(self.action_space, spaces.Box)
        return TeacherLabels(
            actions=self.to_torch(actions),
            labeled=self.to_torch(labeled),
            std=distribution if is_box else None,
            logits=None if is_box else distribution,
        )

    def distribution(self, policy: ActorCriticPolicy, start: int, stop: int) -> Distribution:
        """
        :param policy: The policy that collected the rollout, as it was then.
        :param start: The first of some steps; of some entries, once they are in the order of training.
        :param stop: The first after them.
        :return: Its distribution over actions in each of their entries.
        """
        return policy.get_distribution(policy.obs_to_tensor(self.observations_from(start, stop))[0])

    def observations_from(self, start: int, stop: int) -> np.ndarray | dict[str, np.ndarray]:
        """
        :param start: See ``distribution``.
        :param stop: See ``distribution``.
        :return: The observations of these entries, first axis the entries.
        """
        if isinstance(self.observations, dict):
            shapes: Any = self.obs_shape
            return {name: array[start:stop].reshape(-1, *shapes[name]) for name, array in self.observations.items()}
        observations: np.ndarray = self.observations[start:stop].reshape(-1, *self.obs_shape)
        return observations


@functools.cache
def _with_labels(samples_class: type[Any]) -> Callable[..., TeacherRolloutBufferSamples]:
    """A minibatch may have more fields than SB3's own, so the labels are added to whatever it has."""
    if samples_class in (RolloutBufferSamples, DictRolloutBufferSamples):
        return TeacherRolloutBufferSamples
    fields = (*samples_class._fields, "teacher_labels")
    return cast(type[TeacherRolloutBufferSamples], namedtuple(f"Teacher{samples_class.__name__}", fields))


def with_teacher_labels(
    buffer_class: type[RolloutBuffer], mixin: type[TeacherLabelsMixin] = TeacherLabelsMixin
) -> type[TeacherLabelsMixin]:
    """
    The given kind of rollout buffer with the teacher's labels added.

    :param buffer_class: SB3's ``RolloutBuffer`` or ``DictRolloutBuffer``, or a class of the user's own.
    :param mixin: What adds them.
    :return: A subclass of both ``mixin`` and ``buffer_class``.
    """
    return buffer_class if issubclass(buffer_class, mixin) else _combined(mixin, buffer_class)


@functools.cache
def _combined(mixin: type[TeacherLabelsMixin], buffer_class: type[RolloutBuffer]) -> type[TeacherLabelsMixin]:
    bases: tuple[type[Any], ...] = (mixin, buffer_class)
    namespace = {"__doc__": buffer_class.__doc__, "__module__": __name__}
    return cast(type[TeacherLabelsMixin], type(f"Teacher{buffer_class.__name__}", bases, namespace))


def give_room_for_labels(buffer: RolloutBuffer, mixin: type[TeacherLabelsMixin] = TeacherLabelsMixin) -> None:
    """
    Make a buffer that was made without labels one that has them, from its next ``reset`` on. It stays the same object.

    :param buffer: A rollout buffer.
    :param mixin: What adds them.
    """
    if not isinstance(buffer, mixin):
        buffer.__class__ = with_teacher_labels(type(buffer), mixin)


TeacherRolloutBuffer = with_teacher_labels(RolloutBuffer)
TeacherDictRolloutBuffer = with_teacher_labels(DictRolloutBuffer)

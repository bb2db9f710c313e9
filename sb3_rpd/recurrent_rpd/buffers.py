"""Labels in the rollout buffers of recurrent policies, which give out padded sequences."""

from collections.abc import Callable

import numpy as np
import torch as th
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.labels import TeacherLabels


class PaddedLabelsMixin(TeacherLabelsMixin):
    """
    ``TeacherLabelsMixin`` for sb3-contrib's recurrent buffers. A minibatch has its entries one sequence after the other, each
    with as many rows as the longest; a row that only fills up a sequence has no label.
    """

    #: Set by sb3-contrib for the minibatch that is being made: lays a column of entries out as sequences.
    pad: Callable[[np.ndarray, float], th.Tensor]
    #: The actor's before each step: shape (buffer_size, n_layers, n_envs, size), in training (entries, n_layers, size).
    hidden_states_pi: np.ndarray
    cell_states_pi: np.ndarray

    def minibatch_labels(self, entries: np.ndarray) -> TeacherLabels:
        labels = self.labels(entries)
        rows = self.pad(np.arange(len(entries)), -1).flatten()
        is_entry = rows >= 0
        rows = rows.clamp(min=0)

        def laid_out(values: th.Tensor | None, filler: float) -> th.Tensor | None:
            return None if values is None else th.where(is_entry.unsqueeze(1), values[rows], filler)

        actions = laid_out(labels.actions, 0.0)
        assert actions is not None
        return TeacherLabels(
            actions=actions,
            labeled=labels.labeled[rows] & is_entry,
            std=laid_out(labels.std, 1.0),
            logits=laid_out(labels.logits, 1.0),
        )

    def distribution(self, policy: ActorCriticPolicy, start: int, stop: int) -> Distribution:
        observations = self.observations_from(start, stop)
        states = tuple(self._states(array[start:stop]) for array in (self.hidden_states_pi, self.cell_states_pi))
        episode_starts = self.to_torch(self.episode_starts[start:stop].reshape(-1))
        distribution: Distribution
        distribution, _ = policy.get_distribution(policy.obs_to_tensor(observations)[0], states, episode_starts)  # type: ignore[call-arg, misc]
        return distribution

    def _states(self, states: np.ndarray) -> th.Tensor:
        """:return: Those of some entries, shape (n_layers, entries, size): sequences of one step each."""
        by_entry = states if self.generator_ready else states.swapaxes(1, 2)
        n_layers, size = by_entry.shape[-2:]
        return self.to_torch(by_entry.reshape(-1, n_layers, size).swapaxes(0, 1)).contiguous()

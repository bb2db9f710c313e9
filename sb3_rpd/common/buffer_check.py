"""Makes sure, before a rollout, that a buffer of the user's own gives each entry out with its own label."""

from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy, deepcopy
from typing import Any

import numpy as np
import torch as th

from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher_outputs import CheckedOutput

#: Steps of the rollout on which it is tried.
_N_STEPS = 5
_LARGE = ("observations", "actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages")


def check_labels_follow(buffer: TeacherLabelsMixin) -> None:
    """
    Try a buffer of a class of the user's own on a few numbered entries.

    :param buffer: An empty rollout buffer, which is left as it is.
    :raises TeacherError: if an entry comes out of it without a label, or with another one's.
    """
    if is_of_a_library(buffer):
        return
    with _same_randomness_afterwards():
        try:
            trial = _small_copy(buffer)
            n_entries = _fill_with_numbers(trial)
            batches = [batch for batch_size in (None, max(n_entries // 2, 1)) for batch in trial.get(batch_size)]
            follow = all(_has_labels_of_its_own(batch) for batch in batches)
        except Exception as error:
            raise TeacherError(f"{_what_to_do(buffer)} (Trying it raised {error!r}.)") from error
    if not follow:
        raise TeacherError(_what_to_do(buffer))


def is_of_a_library(buffer: TeacherLabelsMixin) -> bool:
    """
    :param buffer: A rollout buffer with labels.
    :return: Whether they were added to a class of Stable-Baselines3 or sb3-contrib itself.
    """
    kind = type(buffer)
    libraries = ("stable_baselines3", "sb3_contrib")
    return kind.__module__ == TeacherLabelsMixin.__module__ and kind.__bases__[-1].__module__.partition(".")[0] in libraries


def _small_copy(buffer: TeacherLabelsMixin) -> TeacherLabelsMixin:
    trial = copy(buffer)
    # Not to be copied: there may be gigabytes of it
    vars(trial).update({name: None for name in vars(trial) if name in _LARGE or name.startswith(("_flat_", "teacher_"))})
    trial = deepcopy(trial)
    trial.buffer_size = min(buffer.buffer_size, _N_STEPS)
    trial.reset()
    return trial


def _fill_with_numbers(buffer: TeacherLabelsMixin) -> int:
    """Each entry has its number as its value, its log-probability and its label."""
    n_envs = buffer.n_envs
    shape = buffer.obs_shape
    for step in range(buffer.buffer_size):
        numbers = th.arange(n_envs, dtype=th.float32) + step * n_envs
        observations = {name: np.zeros((n_envs, *shape[name])) for name in shape} if isinstance(shape, dict) else None
        buffer.add(
            np.zeros((n_envs, *shape)) if observations is None else observations,
            np.zeros((n_envs, buffer.action_dim)),
            np.zeros(n_envs),
            np.zeros(n_envs),
            numbers.unsqueeze(1),
            numbers,
        )
        labels = np.tile(numbers.numpy()[:, None], (1, buffer.action_dim))
        buffer.add_labels(np.full(n_envs, step), np.arange(n_envs), CheckedOutput(labels))
    buffer.compute_returns_and_advantage(th.zeros(n_envs), np.zeros(n_envs, dtype=bool))
    return buffer.buffer_size * n_envs


def _has_labels_of_its_own(batch: Any) -> bool:
    labels = getattr(batch, "teacher_labels", None)
    return labels is not None and bool(labels.labeled.all()) and th.equal(labels.actions[:, 0], batch.old_log_prob)


@contextmanager
def _same_randomness_afterwards() -> Iterator[None]:
    of_numpy, of_torch = np.random.get_state(), th.get_rng_state()  # noqa: NPY002 (SB3 draws from this one)
    try:
        yield
    finally:
        np.random.set_state(of_numpy)  # noqa: NPY002
        th.set_rng_state(of_torch)


def _what_to_do(buffer: TeacherLabelsMixin) -> str:
    name = type(buffer).__name__.removeprefix("Teacher")
    return (
        f"The rollout buffer {name} gives its entries out in a way of its own, in which they come without their labels or "
        "with those of others. Let it inherit from sb3_rpd.common.buffers.TeacherLabelsMixin, and get the entries that it "
        "picks from super()._get_samples, or their labels from self.labels; or take imitation_coef=0.0."
    )

"""Buffers of the user's own: their entries come with their labels, or training does not begin."""

from collections.abc import Generator
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE

from sb3_rpd.common.buffer_check import check_labels_follow
from sb3_rpd.common.buffers import TeacherLabelsMixin, with_teacher_labels
from sb3_rpd.common.errors import TeacherError

BOX = ACTION_SPACES["box"]
VECTOR = spaces.Box(-1.0, 1.0, (4,), np.float32)


class Shifted(RolloutBuffer):
    """Picks other entries than it is told to."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        return super()._get_samples(batch_inds - 1, env)


class TimeMajor(RolloutBuffer):
    """Puts its entries into another order."""

    @staticmethod
    def swap_and_flatten(arr: np.ndarray) -> np.ndarray:
        return arr.reshape(arr.shape[0] * arr.shape[1], -1)


class Backwards(RolloutBuffer):
    """Stores the last step first."""

    def add(self, *args: Any) -> None:
        position, self.pos = self.pos, self.buffer_size - 1 - self.pos
        super().add(*args)
        self.pos = position + 1
        self.full = self.pos == self.buffer_size


class OwnMinibatches(RolloutBuffer):
    """Makes its minibatches without ``_get_samples``."""

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        for batch in super().get(batch_size):
            yield type("Batch", (), {"old_log_prob": batch.old_log_prob, "returns": batch.returns})


class Choosy(RolloutBuffer):
    """Fails in another set-up than its own."""

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        assert self.buffer_size % 64 == 0, "a multiple of 64 steps"
        return super().get(batch_size)


class Scaled(RolloutBuffer):
    """Changes what it gives out, and leaves the order alone."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        samples = super()._get_samples(batch_inds, env)
        return samples._replace(observations=samples.observations * 2.0, advantages=samples.advantages.clamp(-1.0, 1.0))


class BestFirst(RolloutBuffer):
    """Gives its entries out by their advantage."""

    def get(self, batch_size: int | None = None) -> Generator[Any, None, None]:
        next(super().get(batch_size))
        order = np.argsort(-self.advantages.flatten())
        for start in range(0, len(order), batch_size or len(order)):
            yield self._get_samples(order[start : start + (batch_size or len(order))])


class Counting(RolloutBuffer):
    """Keeps a memory of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.rewards_seen: list[float] = []
        super().__init__(*args, **kwargs)

    def add(self, obs: Any, action: Any, reward: np.ndarray, *args: Any) -> None:
        self.rewards_seen.extend(reward)
        super().add(obs, action, reward, *args)


class ShiftedWithLabels(TeacherLabelsMixin):
    """As the error advises."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        return super()._get_samples(batch_inds - 1, env)


class TimeMajorWithLabels(TeacherLabelsMixin):
    """As the error advises where the order is another one."""

    swap_and_flatten = staticmethod(TimeMajor.swap_and_flatten)

    def labels(self, entries: np.ndarray) -> Any:
        return super().labels(entries % self.n_envs * self.buffer_size + entries // self.n_envs)


class ShiftedDict(DictRolloutBuffer):
    """The same with a dict of observations."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        return super()._get_samples(batch_inds - 1, env)


class OwnDict(DictRolloutBuffer):
    """Differs by its name."""


def make(kind: type[RolloutBuffer], space: spaces.Space = VECTOR, action_space: spaces.Space = BOX, n_envs: int = 3) -> Any:
    return with_teacher_labels(kind)(64, space, action_space, device="cpu", n_envs=n_envs)


@pytest.mark.parametrize("action_space", ACTION_SPACES)
@pytest.mark.parametrize(
    ("kind", "space"),
    [(Shifted, VECTOR), (TimeMajor, VECTOR), (Backwards, VECTOR), (OwnMinibatches, VECTOR), (ShiftedDict, DICT_SPACE)],
)
def test_buffer_that_parts_entries_from_their_labels_is_refused(kind: Any, space: spaces.Space, action_space: str) -> None:
    with pytest.raises(TeacherError, match=rf"rollout buffer {kind.__name__} .*TeacherLabelsMixin.*imitation_coef=0\.0"):
        check_labels_follow(make(kind, space, ACTION_SPACES[action_space]))


@pytest.mark.parametrize("action_space", ACTION_SPACES)
@pytest.mark.parametrize(
    ("kind", "space"),
    [
        (RolloutBuffer, VECTOR),
        (Scaled, VECTOR),
        (Scaled, IMAGE_SPACE),
        (Scaled, spaces.Discrete(5)),
        (BestFirst, VECTOR),
        (Counting, spaces.MultiBinary(3)),
        (ShiftedWithLabels, VECTOR),
        (TimeMajorWithLabels, VECTOR),
        (OwnDict, DICT_SPACE),
    ],
)
def test_buffer_that_keeps_them_together_is_taken(kind: Any, space: spaces.Space, action_space: str) -> None:
    check_labels_follow(make(kind, space, ACTION_SPACES[action_space]))


def test_one_environment_has_one_order() -> None:
    check_labels_follow(make(TimeMajor, n_envs=1))


def test_buffer_that_cannot_be_tried_is_refused_with_what_it_said() -> None:
    with pytest.raises(TeacherError, match=r"Choosy .*Trying it raised AssertionError.*a multiple of 64 steps"):
        check_labels_follow(make(Choosy))


def test_trying_leaves_nothing_behind() -> None:
    buffer = make(Counting)
    buffer.rewards_seen.append(1.0)
    arrays = {name: value for name, value in vars(buffer).items() if isinstance(value, np.ndarray)}
    np.random.seed(3)  # noqa: NPY002
    th.manual_seed(3)
    expected = np.random.rand(), th.rand(1).item()  # noqa: NPY002
    np.random.seed(3)  # noqa: NPY002
    th.manual_seed(3)
    check_labels_follow(buffer)
    assert (np.random.rand(), th.rand(1).item()) == expected  # noqa: NPY002
    assert buffer.rewards_seen == [1.0]
    assert (buffer.buffer_size, buffer.pos) == (64, 0)
    assert all(getattr(buffer, name) is array for name, array in arrays.items())

"""LabelMemory: what is kept, how many steps it takes, and one of them by hand."""

import pickle
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.utils import ConstantSchedule

from sb3_rpd.common.buffers import TeacherDictRolloutBuffer, TeacherLabelsMixin, TeacherRolloutBuffer
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses import KL, MSE, NLL, ImitationLoss
from sb3_rpd.common.teacher_outputs import CheckedOutput

VECTOR = spaces.Box(-np.inf, np.inf, (2,), np.float32)
BOX = spaces.Box(-10.0, 10.0, (2,), np.float32)


def rollout(first: int, labeled: Sequence[bool], *, of_dict: bool, std: bool, flat: bool) -> TeacherLabelsMixin:
    """Two environments; the observation of entry i is (first + i, first + i), its label twice and its std three times that."""
    n_steps = len(labeled) // 2
    space: spaces.Space = spaces.Dict(a=VECTOR, b=VECTOR) if of_dict else VECTOR
    buffer_class = TeacherDictRolloutBuffer if of_dict else TeacherRolloutBuffer
    buffer: TeacherLabelsMixin = buffer_class(n_steps, space, BOX, device="cpu", n_envs=2)
    for step in range(n_steps):
        numbers = np.repeat(first + 2 * step + np.arange(2.0), 2).reshape(2, 2).astype(np.float32)
        observation: Any = {"a": numbers, "b": -numbers} if of_dict else numbers
        buffer.add(observation, np.zeros((2, 2)), np.zeros(2), np.zeros(2), th.zeros(2), th.zeros(2))
        for env in np.flatnonzero(labeled[2 * step : 2 * step + 2]):
            label = 2.0 * numbers[[env]]
            output = CheckedOutput(label, distribution=1.5 * label if std else None)
            buffer.add_labels(np.array([step]), np.array([env]), output)
    if flat:
        buffer.flatten()
    return buffer


class Watching(ImitationLoss):
    """Keeps what it is shown of the distribution and of the labels."""

    def __init__(self) -> None:
        self.seen: list[tuple[np.ndarray, TeacherLabels]] = []

    def per_sample(self, distribution: Any, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        assert labels.labeled.all()
        assert (ratio == 1.0).all()
        mean = distribution.distribution.mean
        self.seen.append((mean.detach().numpy().copy(), labels))
        return mean.sum(dim=1)


def linear_policy(observation_space: spaces.Space = VECTOR, action_space: spaces.Space = BOX) -> ActorCriticPolicy:
    """Its action layer is directly on the observation, and is the identity where that fits."""
    policy_class = MultiInputActorCriticPolicy if isinstance(observation_space, spaces.Dict) else ActorCriticPolicy
    policy = policy_class(observation_space, action_space, ConstantSchedule(0.25), net_arch=[])
    with th.no_grad():
        policy.action_net.weight.copy_(th.eye(*policy.action_net.weight.shape))
        policy.action_net.bias.zero_()
    return policy


def imitate(memory: LabelMemory, policy: ActorCriticPolicy, loss: ImitationLoss, **options: Any) -> list[th.Tensor]:
    defaults: dict[str, Any] = {"imitation_coef": 1.0, "success_rate": None, "correct": lambda labels: labels}
    return memory.imitate(policy, loss, generator=np.random.default_rng(0), **defaults | options)


@given(
    rollouts=st.lists(
        st.tuples(st.integers(1, 4).flatmap(lambda n: st.lists(st.booleans(), min_size=2 * n, max_size=2 * n)), st.booleans()),
        max_size=4,
    ),
    capacity=st.integers(1, 9),
    of_dict=st.booleans(),
)
def test_the_last_labels_are_kept_with_their_observations(
    rollouts: list[tuple[list[bool], bool]], capacity: int, of_dict: bool
) -> None:
    # So slow that the policy stays as it is
    memory = LabelMemory(minibatches=8, batch_size=300, capacity=capacity, learning_rate=1e-30)
    numbers: list[float] = []
    for index, (labeled, flat) in enumerate(rollouts):
        memory.add(rollout(100 * (index + 1), labeled, of_dict=of_dict, std=False, flat=flat))
        numbers += [100.0 * (index + 1) + entry for entry in np.flatnonzero(labeled)]
    assert len(memory) == min(len(numbers), capacity)
    space = spaces.Dict(a=VECTOR, b=VECTOR) if of_dict else VECTOR
    watching = Watching()
    losses = imitate(memory, linear_policy(space), watching)
    n_minibatches = round(8 * np.mean(rollouts[-1][0]) ** 2) if numbers else 0
    assert len(losses) == len(watching.seen) == n_minibatches
    for means, labels in watching.seen:
        # The first of the two numbers is the observation's
        np.testing.assert_array_equal(2.0 * means[:, 0], labels.actions[:, 0].numpy())
        drawn = set(means[:, 0].tolist())
        assert drawn <= set(numbers)
        assert len(drawn) == len(memory)
        # Within one rollout which are the last is left open
        of_last = {number for number in numbers if number >= 100 * len(rollouts)}
        assert drawn >= of_last or drawn <= of_last


@pytest.mark.parametrize("first_has_std", [True, False])
def test_standard_deviations_come_back_and_are_one_where_there_were_none(first_has_std: bool) -> None:
    memory = LabelMemory(minibatches=1, batch_size=200)
    for first, std in ((1, first_has_std), (101, not first_has_std)):
        memory.add(rollout(first, [True] * 4, of_dict=False, std=std, flat=False))
    watching = Watching()
    imitate(memory, linear_policy(), watching)
    ((_, labels),) = watching.seen
    assert labels.std is not None
    has_std = (labels.actions[:, 0] < 100) == first_has_std
    assert 0 < has_std.sum() < 200
    np.testing.assert_array_equal(labels.std[has_std], 1.5 * labels.actions[has_std])
    np.testing.assert_array_equal(labels.std[~has_std], np.ones_like(labels.std[~has_std]))


def test_one_step_by_hand() -> None:
    memory = LabelMemory(minibatches=4, batch_size=1, learning_rate=0.125)
    memory.add(rollout(3, [True, False], of_dict=False, std=False, flat=False))
    policy = linear_policy()
    critic = [parameter.clone() for parameter in policy.value_net.parameters()]
    (loss,) = imitate(memory, policy, MSE(), correct=lambda labels: labels + np.float32(0.5))
    # Observation (3, 3), answer (3, 3), label (6, 6) moved to (6.5, 6.5)
    assert loss.item() == 3.5**2
    # Adam's first step goes by the learning rate, whatever the size of the gradient
    np.testing.assert_allclose(policy.action_net.weight.detach(), np.eye(2) + 0.125, rtol=1e-6)
    np.testing.assert_allclose(policy.action_net.bias.detach(), [0.125, 0.125], rtol=1e-6)
    assert all(map(th.equal, critic, policy.value_net.parameters()))
    # Without a learning rate of its own it is the student's
    theirs = LabelMemory(minibatches=4, batch_size=1)
    theirs.add(rollout(3, [True, False], of_dict=False, std=False, flat=False))
    imitate(theirs, policy, MSE())
    np.testing.assert_allclose(policy.action_net.bias.detach(), [0.375, 0.375], rtol=1e-6)


def test_another_policy_is_trained_as_the_first_one_was() -> None:
    memory = LabelMemory(minibatches=1, batch_size=4, learning_rate=0.125)
    memory.add(rollout(3, [True] * 4, of_dict=False, std=False, flat=False))
    policies = [linear_policy(), linear_policy()]
    for policy in policies:
        imitate(memory, policy, MSE())
        np.testing.assert_allclose(policy.action_net.bias.detach(), [0.125, 0.125], rtol=1e-6)


@pytest.mark.parametrize(
    ("coefs", "success_rate", "steps"),
    [
        ([1.0], None, 10),
        ([1.0], float("nan"), 10),
        ([3.0], 0.0, 10),
        ([3.0], 0.5, 2),
        ([3.0], 0.2, 6),
        ([3.0], 1.0, 0),
        ([4.0, 2.0], 0.0, 5),
        ([4.0, 2.0], 0.4, 2),
        ([1.0, 4.0, 1.0], 0.0, 2),
        ([0.0], 0.0, 0),
    ],
)
def test_number_of_steps(coefs: list[float], success_rate: float | None, steps: int) -> None:
    memory = LabelMemory(minibatches=10, batch_size=2)
    assert imitate(memory, linear_policy(), MSE()) == []
    memory.restart()
    memory.add(rollout(0, [True] * 4, of_dict=False, std=False, flat=False))
    for coef in coefs:
        losses = imitate(memory, linear_policy(), MSE(), imitation_coef=coef, success_rate=success_rate)
    assert len(losses) == steps


def test_fewer_labels_are_drawn_less_often() -> None:
    memory = LabelMemory(minibatches=32, batch_size=2)
    for labeled, steps in (([True] * 4, 32), ([True, False, False, False], 2)):
        memory.add(rollout(0, labeled, of_dict=False, std=False, flat=False))
        assert len(imitate(memory, linear_policy(), MSE())) == steps


@pytest.mark.parametrize(
    ("action_space", "loss", "distribution"),
    [
        (spaces.Discrete(3), NLL(), None),
        (spaces.Discrete(3), KL(), lambda n: np.log(np.tile([[0.2, 0.5, 0.3]], (n, 1)))),
        (spaces.MultiDiscrete([3, 2]), NLL(), None),
        (spaces.MultiBinary(2), NLL(), None),
    ],
)
def test_discrete_students_come_to_agree(
    action_space: spaces.Space, loss: ImitationLoss, distribution: Callable[[int], np.ndarray] | None
) -> None:
    buffer = TeacherRolloutBuffer(4, VECTOR, action_space, device="cpu", n_envs=1)
    width = buffer.action_dim
    for step in range(4):
        buffer.add(np.full((1, 2), step), np.zeros((1, width)), np.zeros(1), np.zeros(1), th.zeros(1), th.zeros(1))
    given_distribution = None if distribution is None else distribution(4).astype(np.float32)
    labels = CheckedOutput(np.ones((4, width), np.float32), distribution=given_distribution)
    buffer.add_labels(np.arange(4), np.zeros(4, int), labels)
    memory = LabelMemory(minibatches=200, batch_size=16, learning_rate=0.05)
    memory.add(buffer)
    policy = ActorCriticPolicy(VECTOR, action_space, ConstantSchedule(0.1), net_arch=[])
    losses = imitate(memory, policy, loss)
    with th.no_grad():
        chosen = policy.get_distribution(th.tensor([[0.0, 0.0], [3.0, 3.0]])).mode()
    assert (chosen == 1).all()
    assert losses[-1] < 0.5 * losses[0]


def test_a_pickle_has_the_settings_and_no_labels() -> None:
    memory = LabelMemory(minibatches=3, batch_size=5, capacity=7, learning_rate=0.1)
    memory.add(rollout(0, [True] * 4, of_dict=False, std=False, flat=False))
    imitate(memory, linear_policy(), MSE(), imitation_coef=4.0)
    again = pickle.loads(pickle.dumps(memory))
    assert again == memory
    assert (len(memory), len(again)) == (4, 0)
    # It knows how far the coefficient has come down
    again.add(rollout(0, [True] * 4, of_dict=False, std=False, flat=False))
    assert len(imitate(again, linear_policy(), MSE(), imitation_coef=4.0 / 3.0)) == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"minibatches": 0}, "minibatches must be at least 1, not 0"),
        ({"batch_size": 0}, "batch_size must be at least 1, not 0"),
        ({"capacity": -1}, "capacity must be at least 1, not -1"),
        ({"learning_rate": 0.0}, "learning_rate must be finite and > 0, not 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate must be finite and > 0, not nan"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        LabelMemory(**settings)

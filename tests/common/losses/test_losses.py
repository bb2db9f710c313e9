"""What holds for every imitation loss: gradients by finite differences, masks, real policies, pickling."""

import pickle

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.distributions import (
    BernoulliDistribution,
    CategoricalDistribution,
    DiagGaussianDistribution,
    MultiCategoricalDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from toy_distributions import evaluate, gaussian, gsde, labels_of, tensor

from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.loss_names import make_imitation_loss
from sb3_rpd.common.losses import KL, L1, MSE, NLL, Cosine, Huber

END_EFFECTOR = spaces.Box(-1.0, 1.0, (7,))
DISCRETE = spaces.Discrete(4)
MULTI_DISCRETE = spaces.MultiDiscrete([3, 2])
MULTI_BINARY = spaces.MultiBinary(3)
PLANE = {"left": (0,), "right": (1,)}

ALL_BOX_LOSSES = [
    MSE(),
    MSE(weights=(0.5, 2.0)),
    L1(),
    Huber(delta=0.3),
    NLL(),
    NLL(weights=(0.5, 2.0)),
    KL(),
    KL(weights=(0.5, 2.0), direction="reverse"),
    Cosine(groups={"plane": (0, 1)}),
]
ALL_DISCRETE_LOSSES = [NLL(), KL(), KL(direction="reverse")]


@pytest.mark.parametrize("loss", ALL_BOX_LOSSES, ids=repr)
@pytest.mark.parametrize("make_student", [gaussian, gsde])
def test_gradients_for_a_box_are_those_of_finite_differences(loss, make_student):
    if isinstance(loss, KL) and make_student is gsde:
        make_student = lambda mean: gsde(mean, squash_output=False)  # noqa: E731
    generator = np.random.default_rng(3)
    labels = labels_of(generator.uniform(-0.9, 0.9, (3, 2)), [True, False, True], std=np.exp(generator.normal(size=(3, 2))))
    mean = tensor(generator.normal(size=(3, 2))).requires_grad_()
    ratio = tensor([1.3, 0.9, 0.5]).requires_grad_()
    assert th.autograd.gradcheck(lambda mean, ratio: evaluate(loss, make_student(mean), labels, ratio), (mean, ratio))


@pytest.mark.parametrize("loss", [NLL(), KL(), KL(direction="reverse")], ids=repr)
def test_gradients_of_the_standard_deviation_are_those_of_finite_differences(loss):
    labels = labels_of([[0.3, -0.2], [0.1, 0.9]], std=[[0.5, 1.5], [1.0, 0.7]])
    log_std = tensor([0.2, -0.4]).requires_grad_()
    mean = tensor([[0.1, 0.2], [-0.5, 0.0]])
    assert th.autograd.gradcheck(
        lambda log_std: evaluate(loss, DiagGaussianDistribution(2).proba_distribution(mean, log_std), labels), log_std
    )


#: Space, distribution from logits, number of logits.
DISCRETE_CASES = [
    (DISCRETE, lambda logits: CategoricalDistribution(4).proba_distribution(logits), 4),
    (MULTI_DISCRETE, lambda logits: MultiCategoricalDistribution([3, 2]).proba_distribution(logits), 5),
    (MULTI_BINARY, lambda logits: BernoulliDistribution(3).proba_distribution(logits), 3),
]


def sample_actions(space, n, seed):
    space.seed(seed)
    return np.stack([space.sample() for _ in range(n)]).reshape(n, -1)


@pytest.mark.parametrize("loss", ALL_DISCRETE_LOSSES, ids=repr)
@pytest.mark.parametrize(("space", "make_student", "n_logits"), DISCRETE_CASES)
def test_gradients_for_discrete_spaces_are_those_of_finite_differences(loss, space, make_student, n_logits):
    student_logits, teacher_logits = np.random.default_rng(4).normal(size=(2, 3, n_logits))
    labels = labels_of(sample_actions(space, 3, seed=0), [True, True, False], logits=teacher_logits)
    student_logits = tensor(student_logits).requires_grad_()
    assert th.autograd.gradcheck(lambda logits: evaluate(loss, make_student(logits), labels), student_logits)


def check_mask(mask, value_and_gradient):
    """Hold a batch with masked rows against its labeled rows alone; masked rows must get no gradient."""
    value, gradient = value_and_gradient(np.arange(len(mask)))
    assert not gradient[~mask].any()
    if mask.any():
        expected_value, expected_gradient = value_and_gradient(np.flatnonzero(mask))
        assert value == pytest.approx(expected_value, rel=1e-12, abs=1e-15)
        np.testing.assert_allclose(gradient[mask], expected_gradient, rtol=1e-12, atol=1e-15)
    else:
        assert value == 0.0


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_unlabeled_rows_change_neither_value_nor_gradient(data):
    loss = data.draw(st.sampled_from(ALL_BOX_LOSSES))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=6)))
    squash_output = data.draw(st.booleans()) and not isinstance(loss, KL)
    n = len(mask)
    generator = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    means, stds, ratios = generator.normal(size=(n, 2)), np.exp(generator.normal(size=(n, 2))), generator.uniform(0.5, 1.5, n)
    actions = generator.uniform(-1.0, 1.0, (n, 2))
    actions[~mask], stds[~mask] = 0.0, 1.0
    # whatever PPO's ratio is where there is no label, it stays out
    ratios[~mask] = np.inf

    def value_and_gradient(rows):
        mean = tensor(means[rows]).requires_grad_()
        student = gsde(mean) if squash_output else gaussian(mean)
        labels = labels_of(actions[rows], mask[rows].tolist(), std=stds[rows])
        value = evaluate(loss, student, labels, tensor(ratios[rows]))
        return value.item(), th.autograd.grad(value, mean)[0].numpy()

    check_mask(mask, value_and_gradient)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_unlabeled_rows_change_nothing_in_discrete_spaces_either(data):
    loss = data.draw(st.sampled_from(ALL_DISCRETE_LOSSES))
    space, make_student, n_logits = data.draw(st.sampled_from(DISCRETE_CASES))
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=1, max_size=6)))
    seed = data.draw(st.integers(0, 2**31))
    student_logits, teacher_logits = np.random.default_rng(seed).normal(size=(2, len(mask), n_logits))
    actions = sample_actions(space, len(mask), seed)
    actions[~mask], teacher_logits[~mask] = 0, 1.0

    def value_and_gradient(rows):
        logits = tensor(student_logits[rows]).requires_grad_()
        labels = labels_of(actions[rows], mask[rows].tolist(), logits=teacher_logits[rows])
        value = evaluate(loss, make_student(logits), labels)
        return value.item(), th.autograd.grad(value, logits)[0].numpy()

    check_mask(mask, value_and_gradient)


# ------------------------------------------------------------------ with real policies


def real_case(space, n_logits, use_sde):
    """:return: A policy for that space, and labels as a rollout buffer gives them."""
    th.manual_seed(0)
    observation_space = spaces.Box(-1.0, 1.0, (3,))
    policy_kwargs = {"use_sde": True, "squash_output": True} if use_sde else {}
    policy = ActorCriticPolicy(observation_space, space, lambda _: 1e-3, **policy_kwargs)
    actions = th.tensor(sample_actions(space, 4, seed=0), dtype=th.float32)
    labeled = th.tensor([True, False, True, True])
    logits = th.linspace(-2.0, 2.0, n_logits).expand(4, -1)
    labels = TeacherLabels(actions * labeled.unsqueeze(1), labeled, th.ones_like(actions), logits)
    return policy, labels


def evaluate_policy(loss, policy, labels):
    """:return: The imitation loss after a forward pass on four observations, as PPO makes it."""
    actions = labels.actions
    if isinstance(policy.action_space, spaces.Discrete):
        actions = actions.long().flatten()
    policy.evaluate_actions(th.linspace(-1, 1, 12).reshape(4, 3), actions)
    return loss(policy.action_dist, labels, th.ones(4), 0.2)


@pytest.mark.parametrize(
    ("space", "n_logits", "use_sde", "names"),
    [
        (END_EFFECTOR, 7, False, ["auto", "mse", "l1", "huber", "nll", "bc", "kl", "cosine"]),
        (END_EFFECTOR, 7, True, ["auto", "mse", "l1", "huber", "nll", "bc", "cosine"]),
        (DISCRETE, 4, False, ["auto", "nll", "bc", "kl"]),
        (MULTI_DISCRETE, 5, False, ["auto", "nll", "bc", "kl"]),
        (MULTI_BINARY, 3, False, ["auto", "nll", "bc", "kl"]),
    ],
)
def test_every_loss_pulls_a_real_policy_towards_its_teacher(space, n_logits, use_sde, names):
    for name in names:
        policy, labels = real_case(space, n_logits, use_sde)
        loss = make_imitation_loss(name, space, policy.squash_output)
        before = evaluate_policy(loss, policy, labels)
        before.backward()
        with th.no_grad():
            for parameter in policy.action_net.parameters():
                assert parameter.grad.isfinite().all()
                parameter -= 1e-3 * parameter.grad
        assert before.shape == ()
        assert evaluate_policy(loss, policy, labels).item() < before.item(), name


# ------------------------------------------------------------------ pickling


@pytest.mark.parametrize("loss", [*ALL_BOX_LOSSES, Cosine(groups=PLANE), Huber(delta=0.1)], ids=repr)
def test_pickling(loss):
    restored = pickle.loads(pickle.dumps(loss))
    assert restored == loss
    labels = labels_of([[0.5, -0.5]], std=[[1.0, 2.0]])
    assert evaluate(restored, gaussian([[0.1, 0.2]]), labels).item() == evaluate(loss, gaussian([[0.1, 0.2]]), labels).item()

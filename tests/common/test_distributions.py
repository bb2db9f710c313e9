"""Arithmetic on distributions, against ``torch.distributions`` and Stable-Baselines3's own log-probabilities."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy

from sb3_rpd.common.distributions import (
    categorical_kl,
    gaussian_kl,
    is_squashed,
    log_prob,
    log_prob_by_dimension,
    logits_by_dimension,
)

SPACES = {
    "box": spaces.Box(-1, 1, (3,)),
    "discrete": spaces.Discrete(4),
    "multi_discrete": spaces.MultiDiscrete([3, 2, 4]),
    "multi_binary": spaces.MultiBinary(3),
}


def policy_for(space: spaces.Space, **kwargs) -> ActorCriticPolicy:
    th.manual_seed(0)
    return ActorCriticPolicy(spaces.Box(-1, 1, (5,)), space, lambda _: 1e-3, net_arch=[8], ortho_init=False, **kwargs)


def actions_in(space: spaces.Space, n: int) -> th.Tensor:
    """Actions as a rollout buffer has them: float32, of shape (n, action_dim)."""
    space.seed(0)
    return th.as_tensor(np.stack([np.atleast_1d(space.sample()) for _ in range(n)]).astype(np.float32))


@pytest.mark.parametrize("name", SPACES)
def test_log_prob_is_the_sum_of_its_dimensions_and_the_policys_own(name: str) -> None:
    policy, observations = policy_for(SPACES[name]), th.randn(6, 5)
    actions = actions_in(SPACES[name], 6)
    sb3_actions = actions.long().flatten() if name == "discrete" else actions
    _, expected, _ = policy.evaluate_actions(observations, sb3_actions)

    assert th.equal(log_prob(policy.action_dist, actions), expected)
    terms = log_prob_by_dimension(policy.action_dist, actions)
    assert terms.shape == actions.shape
    th.testing.assert_close(terms.sum(dim=1), expected)


@pytest.mark.parametrize("squash", [False, True])
def test_state_dependent_noise_says_whether_it_squashes(squash: bool) -> None:
    policy = policy_for(SPACES["box"], use_sde=True, squash_output=squash)
    policy.reset_noise(6)
    actions = 0.9 * actions_in(SPACES["box"], 6)
    _, expected, _ = policy.evaluate_actions(th.randn(6, 5), actions)

    assert is_squashed(policy.action_dist) is squash
    th.testing.assert_close(log_prob_by_dimension(policy.action_dist, actions).sum(dim=1), expected)


def test_a_diagonal_gaussian_does_not_squash() -> None:
    assert not is_squashed(policy_for(SPACES["box"]).action_dist)


def test_gaussian_kl_is_torchs() -> None:
    mean_p, mean_q = th.randn(2, 7, 3, dtype=th.float64)
    std_p, std_q = th.rand(2, 7, 3, dtype=th.float64) + 0.1
    normal = th.distributions.Normal
    expected = th.distributions.kl_divergence(normal(mean_p, std_p), normal(mean_q, std_q))

    th.testing.assert_close(gaussian_kl(mean_p, std_p, mean_q, std_q), expected, rtol=1e-12, atol=1e-12)


def test_categorical_kl_by_hand() -> None:
    # p = (1/2, 1/2), q = (1/4, 3/4): KL = 1/2 ln 2 + 1/2 ln 2/3
    p, q = th.tensor([[0.5, 0.5]], dtype=th.float64), th.tensor([[0.25, 0.75]], dtype=th.float64)

    assert categorical_kl(p.log(), q.log()).item() == pytest.approx(0.5 * np.log(2) + 0.5 * np.log(2 / 3), abs=1e-12)


@pytest.mark.parametrize(("name", "choices"), [("discrete", [4]), ("multi_discrete", [3, 2, 4]), ("multi_binary", [2, 2, 2])])
def test_logits_by_dimension_give_each_dimensions_probabilities(name: str, choices: list[int]) -> None:
    policy = policy_for(SPACES[name])
    distribution = policy.get_distribution(th.randn(6, 5))
    other = th.randn(6, 3 if name == "multi_binary" else sum(choices))
    pairs = logits_by_dimension(distribution, other)

    assert [student.shape[1] for student, _, _ in pairs] == choices
    assert [given.shape[1] for _, given, _ in pairs] == choices
    for dimension, (student, given, allowed) in enumerate(pairs):
        assert allowed is None
        for choice in range(choices[dimension]):
            # the student's log-probability of this choice, by SB3: all dimensions' terms but those of the others
            actions = th.zeros(6, len(choices))
            actions[:, dimension] = choice
            expected = log_prob_by_dimension(distribution, actions)[:, dimension]
            th.testing.assert_close(th.log_softmax(student, dim=1)[:, choice], expected)
        if name == "multi_binary":
            th.testing.assert_close(th.softmax(given, dim=1)[:, 1], th.sigmoid(other[:, dimension]))

"""Acting in a rollout, to the last bit as the policy itself, in less time."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import PyTorchObs

from sb3_rpd.fast_path.networks import Perceptron, PerceptronNetworks, preprocessed, refuse_nan

_LOG_SQRT_2PI = math.log(math.sqrt(2.0 * math.pi))


@contextmanager
def fast_acting(policy: ActorCriticPolicy) -> Iterator[None]:
    """
    Inside, calling the policy gives actions, values and log-probabilities without the modules, distributions and checks in
    between: the same operations in the same order, and so the same bits. Only ``policy.action_dist`` is left alone.

    :param policy: A policy that the fast path covers.
    """
    if not PerceptronNetworks.fits(policy):
        yield
        return
    actor = PerceptronActor(policy)
    policy.forward, policy.predict_values = actor, actor.predict_values  # type: ignore[method-assign]
    try:
        yield
    finally:
        del policy.forward, policy.predict_values


class PerceptronActor:
    """
    In place of ``forward`` and ``predict_values`` of an ``MlpPolicy``.

    :param policy: The policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._policy = policy
        self._actor = Perceptron([*policy.mlp_extractor.policy_net, policy.action_net])
        self._critic = Perceptron([*policy.mlp_extractor.value_net, policy.value_net])

    def __call__(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """
        :param obs: See ``ActorCriticPolicy.forward``.
        :param deterministic: See ``ActorCriticPolicy.forward``.
        :return: See ``ActorCriticPolicy.forward``; without gradient.
        """
        policy = self._policy
        features = policy.pi_features_extractor(preprocessed(policy, obs))
        mean, values = self._actor.forward(features), self._critic.forward(features)
        refuse_nan(mean)
        std = policy.log_std.detach().exp()
        actions = mean if deterministic else mean + th.empty_like(mean).normal_() * std
        # As torch.distributions.Normal.log_prob has it
        log_prob = -((actions - mean).pow(2)) / (2.0 * std.pow(2)) - std.log() - _LOG_SQRT_2PI
        shape = cast(spaces.Box, policy.action_space).shape
        return actions.view(-1, *shape), values, log_prob.sum(dim=1)

    def predict_values(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: See ``ActorCriticPolicy.predict_values``.
        :return: See ``ActorCriticPolicy.predict_values``; without gradient.
        """
        return self._critic.forward(self._policy.vf_features_extractor(preprocessed(self._policy, obs)))

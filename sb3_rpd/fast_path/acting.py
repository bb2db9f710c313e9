"""Acting in a rollout, to the last bit as the policy itself, in less time."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

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
    between: the same operations in the same order, and so the same bits. Only ``policy.action_dist`` is left alone. Where a
    gradient is wanted, and in copies of the policy, its own methods are at work.

    :param policy: A policy that the fast path covers.
    """
    if acts_fast(policy) or not PerceptronNetworks.fits(policy):
        yield
        return
    actor = PerceptronActor(policy)
    policy.forward = _InPlaceOf("forward", policy, actor.forward)  # type: ignore[method-assign]
    policy.predict_values = _InPlaceOf("predict_values", policy, actor.predict_values)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del policy.forward, policy.predict_values


def acts_fast(policy: ActorCriticPolicy) -> bool:
    """
    :param policy: A policy.
    :return: Whether this is inside ``fast_acting``.
    """
    return isinstance(vars(policy).get("forward"), _InPlaceOf)


class _InPlaceOf:
    """
    A function in place of a method of one policy. A copy of the policy, also by pickle, has the method again.

    :param name: Of the method.
    :param policy: The policy.
    :param function: Does the same without gradient.
    """

    def __init__(self, name: str, policy: ActorCriticPolicy, function: Callable[..., Any]) -> None:
        self._name = name
        self._policy = policy
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if th.is_grad_enabled():
            return getattr(type(self._policy), self._name)(self._policy, *args, **kwargs)
        return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[ActorCriticPolicy, str]]:
        return getattr, (self._policy, self._name)


class PerceptronActor:
    """
    In place of ``forward`` and ``predict_values`` of an ``MlpPolicy``.

    :param policy: The policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._policy = policy
        self._build_networks()

    def _build_networks(self) -> None:
        policy = self._policy
        self._actor = Perceptron([*policy.mlp_extractor.policy_net, policy.action_net])
        self._critic = Perceptron([*policy.mlp_extractor.value_net, policy.value_net])

    def _features(self, obs: PyTorchObs) -> th.Tensor:
        # A callback may have given the layers other parameters
        if not (self._actor.is_current() and self._critic.is_current()):
            self._build_networks()
        return cast(th.Tensor, preprocessed(self._policy, obs)).flatten(start_dim=1)

    def forward(self, obs: PyTorchObs, deterministic: bool = False) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """
        :param obs: See ``ActorCriticPolicy.forward``.
        :param deterministic: See ``ActorCriticPolicy.forward``.
        :return: See ``ActorCriticPolicy.forward``; without gradient.
        """
        policy = self._policy
        features = self._features(obs)
        mean, values = self._actor.forward(features), self._critic.forward(features)
        std = policy.log_std.detach().exp()
        actions = mean if deterministic else mean + th.empty_like(mean).normal_() * std
        # As torch.distributions.Normal.log_prob has it
        log_prob = (-((actions - mean).pow(2)) / (2.0 * std.pow(2)) - std.log() - _LOG_SQRT_2PI).sum(dim=1)
        # It is NaN where the mean is, and where the standard deviation is NaN or 0
        refuse_nan(log_prob)
        shape = cast(spaces.Box, policy.action_space).shape
        return actions.view(-1, *shape), values, log_prob

    def predict_values(self, obs: PyTorchObs) -> th.Tensor:
        """
        :param obs: See ``ActorCriticPolicy.predict_values``.
        :return: See ``ActorCriticPolicy.predict_values``; without gradient.
        """
        features = self._features(obs)
        return self._critic.forward(features)

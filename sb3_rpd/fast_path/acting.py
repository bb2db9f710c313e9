"""Acting in a rollout, to the last bit as the policy itself, in less time."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn
from torch.distributions import Normal
from torch.nn import functional as F

from sb3_rpd.fast_path.networks import DISTRIBUTION_IS_NAN, PerceptronNetworks, preprocessed
from sb3_rpd.fast_path.watch import METHODS_OF_POLICY, PolicyWatch

_LOG_SQRT_2PI = math.log(math.sqrt(2.0 * math.pi))


@contextmanager
def fast_acting(policy: ActorCriticPolicy) -> Iterator[None]:
    """
    Inside, calling an ``MlpPolicy`` gives actions, values and log-probabilities without its modules and without the checks of
    ``torch.distributions``: the same operations in the same order, and so the same bits. Where a gradient is wanted, in copies
    of the policy, and once anything but numbers has been changed about it (a layer, a hook, a method in place of one of its
    own), the policy's own ``forward`` is at work.

    :param policy: A policy. One whose networks are no plain perceptrons is left alone.
    """
    if not _is_covered(policy):
        yield
        return
    # It is a difference to the policy, too, and so goes before the watch begins
    in_place = policy.forward = _FastForward(policy)  # type: ignore[method-assign]
    in_place.begin()
    try:
        yield
    finally:
        in_place.end()
        # Not what somebody else has put there in the meantime
        if vars(policy).get("forward") is in_place:
            del policy.forward


def _is_covered(policy: ActorCriticPolicy) -> bool:
    own = {"_compiled_call_impl", *METHODS_OF_POLICY} & vars(policy).keys()
    return not own and type(policy.action_dist) is DiagGaussianDistribution and PerceptronNetworks.fits(policy)


def acts_fast(policy: ActorCriticPolicy) -> bool:
    """
    :param policy: A policy.
    :return: Whether this is inside ``fast_acting``.
    """
    return isinstance(vars(policy).get("forward"), _FastForward)


class _FastForward:
    """
    In place of ``forward`` of one policy. A copy of the policy, also by pickle, has the method again.

    :param policy: The policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._policy = policy
        self._watch: PolicyWatch | None = None

    def begin(self) -> None:
        """Act fast from now on."""
        policy = self._policy
        self._watch = PolicyWatch(policy)
        self._actor = _layers([*policy.mlp_extractor.policy_net, policy.action_net])
        self._critic = _layers([*policy.mlp_extractor.value_net, policy.value_net])

    def end(self) -> None:
        """Be the policy's own method from now on, for whoever has kept this."""
        self._watch = None

    def __call__(self, obs: th.Tensor, deterministic: bool = False) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        if self._watch is None or th.is_grad_enabled() or not self._watch.is_unchanged():
            return type(self._policy).forward(self._policy, obs, deterministic)
        return self._forward(obs, deterministic)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[ActorCriticPolicy, str]]:
        return getattr, (self._policy, "forward")

    def _forward(self, obs: th.Tensor, deterministic: bool) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        policy = self._policy
        features = cast(th.Tensor, preprocessed(policy, obs)).flatten(start_dim=1)
        mean, values = _perceptron(self._actor, features), _perceptron(self._critic, features)
        std = policy.log_std.exp()
        actions = mean if deterministic else mean + th.empty_like(mean).normal_() * std
        # As torch.distributions.Normal.log_prob has it
        log_prob = (-((actions - mean).pow(2)) / (2.0 * std.pow(2)) - std.log() - _LOG_SQRT_2PI).sum(dim=1)
        # It is NaN where the mean is, and where the standard deviation is NaN or 0
        if math.isnan(log_prob.sum().item()):
            _check(mean, std)
        # For whoever looks there, as after the policy's own forward
        policy.action_dist.distribution = Normal(mean, std, validate_args=False)
        return actions.view(-1, *cast(spaces.Box, policy.action_space).shape), values, log_prob


def _layers(modules: list[nn.Module]) -> list[dict[str, Any] | Callable[[th.Tensor], th.Tensor]]:
    # A layer's own dict, in which another parameter is found as soon as there is one
    return [vars(module)["_parameters"] if isinstance(module, nn.Linear) else _ACTIVATIONS[type(module)] for module in modules]


_ACTIVATIONS: dict[type[nn.Module], Callable[[th.Tensor], th.Tensor]] = {nn.Tanh: th.tanh, nn.ReLU: th.relu}


def _perceptron(layers: list[dict[str, Any] | Callable[[th.Tensor], th.Tensor]], features: th.Tensor) -> th.Tensor:
    for layer in layers:
        features = F.linear(features, layer["weight"], layer["bias"]) if isinstance(layer, dict) else layer(features)
    return features


def _check(mean: th.Tensor, std: th.Tensor) -> None:
    """:raises ValueError: where the distributions of the plain path do, which let an infinite mean pass."""
    try:
        Normal(mean, std, validate_args=True)
    except ValueError as error:
        raise ValueError(DISTRIBUTION_IS_NAN) from error

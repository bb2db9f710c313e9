"""Acting in a rollout, to the last bit as the policy itself, in less time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch as th
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn
from torch.nn import functional as F

from sb3_rpd.fast_path.heads.choice import head_of
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.networks import PerceptronNetworks, preprocessed
from sb3_rpd.fast_path.watch import METHODS_OF_POLICY, PolicyWatch


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
    return not own and head_of(policy.action_dist) is not None and PerceptronNetworks.fits(policy)


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
        head = head_of(policy.action_dist)
        assert head is not None
        self._head = head
        self._actor = _layers([*policy.mlp_extractor.policy_net])
        self._action_layer = _layers([policy.action_net])
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
        latent, values = _perceptron(self._actor, features), _perceptron(self._critic, features)
        outputs = Outputs(_perceptron(self._action_layer, latent), getattr(policy, "log_std", None), values, latent)
        actions, log_prob = self._head.act(outputs, deterministic)
        assert policy.action_space.shape is not None
        return actions.view(-1, *policy.action_space.shape), values, log_prob


def _layers(modules: list[nn.Module]) -> list[dict[str, Any] | Callable[[th.Tensor], th.Tensor]]:
    # A layer's own dict, in which another parameter is found as soon as there is one
    return [vars(module)["_parameters"] if isinstance(module, nn.Linear) else _ACTIVATIONS[type(module)] for module in modules]


_ACTIVATIONS: dict[type[nn.Module], Callable[[th.Tensor], th.Tensor]] = {nn.Tanh: th.tanh, nn.ReLU: th.relu}


def _perceptron(layers: list[dict[str, Any] | Callable[[th.Tensor], th.Tensor]], features: th.Tensor) -> th.Tensor:
    for layer in layers:
        features = F.linear(features, layer["weight"], layer["bias"]) if isinstance(layer, dict) else layer(features)
    return features

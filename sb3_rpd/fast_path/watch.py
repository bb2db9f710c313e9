"""Notices what was done to a policy between two steps, beyond other numbers in its parameters."""

from collections.abc import Iterable
from typing import Any

from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor, MlpExtractor
from torch import nn
from torch.nn.modules import module as torch_module

from sb3_rpd.fast_path.heads.choice import HEADS

#: Where torch keeps the hooks of a module or tensor; there is no public way to see whether it has any.
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_post_accumulate_grad_hooks")

_METHODS_OF_DISTRIBUTION = frozenset(
    ("proba_distribution", "get_actions", "sample", "mode", "log_prob", "entropy", "get_std", "get_noise")
)


def _as_they_are(owner: type, names: Iterable[str]) -> list[tuple[type, str, Any]]:
    return [(owner, name, getattr(owner, name)) for name in names if hasattr(owner, name)]


#: What acting takes, as SB3 and torch have it.
_METHODS_OF_MODULES = [
    *_as_they_are(MlpExtractor, ("forward", "forward_actor", "forward_critic")),
    *(
        method
        for kind in (FlattenExtractor, nn.Flatten, nn.Sequential, nn.Linear, nn.Tanh, nn.ReLU)
        for method in _as_they_are(kind, ("forward",))
    ),
]
_METHODS_BY_DISTRIBUTION = {
    head.kind: [*_METHODS_OF_MODULES, *_as_they_are(head.kind, _METHODS_OF_DISTRIBUTION)] for head in HEADS
}
METHODS_OF_POLICY = {"forward", "extract_features", "_get_action_dist_from_latent"}
_METHODS_OF_POLICY = [(name, getattr(ActorCriticPolicy, name)) for name in METHODS_OF_POLICY]
_GLOBAL_HOOKS = [
    hooks for name, hooks in vars(torch_module).items() if name.startswith("_global_") and name.endswith("_hooks")
]


class PolicyWatch:
    """
    Knows a policy with plain modules as it is now. Looked at before each step, so nothing here walks through the modules: all
    that can tell of a change is at hand in flat lists.

    :param policy: The policy.
    """

    def __init__(self, policy: ActorCriticPolicy) -> None:
        modules = [*policy.modules()]
        self._policy = policy
        self._modules = modules
        self._types = [*map(type, modules)]
        self._distribution = policy.action_dist
        self._vars: list[dict[str, Any]] = [*map(vars, modules)]
        self._n_attributes = [*map(len, self._vars)]
        self._children: list[dict[str, nn.Module | None]] = [vars(module)["_modules"] for module in modules]
        self._child_modules = self._present_children()
        # The policy's own are called as ever
        own = [vars(module)[name] for module in modules[1:] for name in HOOKS if name in vars(module)]
        self._hooks = [*own, *_GLOBAL_HOOKS]
        self._has_changed = False

    def is_unchanged(self) -> bool:
        """:return: Whether each module, hook and method is the one that it was; once it was not, never again."""
        self._has_changed = self._has_changed or not (
            [*map(len, self._vars)] == self._n_attributes
            and not any(self._hooks)
            and self._present_children() == self._child_modules
            and [*map(type, self._modules)] == self._types
            and self._policy.action_dist is self._distribution
            and not _has_own_methods(self._distribution)
            and _methods_are_sb3s(self._policy)
        )
        return not self._has_changed

    def _present_children(self) -> list[nn.Module | None]:
        return [child for children in self._children for child in children.values()]


def has_own_methods(policy: ActorCriticPolicy) -> bool:
    """
    :param policy: A policy with plain modules.
    :return: Whether some module of it, or its distribution, has a method that is not SB3's or torch's.
    """
    names = {"_compiled_call_impl", *(name for _, name, _ in _METHODS_OF_MODULES)}
    return (
        not _methods_are_sb3s(policy)
        or _has_own_methods(policy.action_dist)
        or any(not names.isdisjoint(vars(module)) for module in [*policy.modules()][1:])
    )


def _has_own_methods(distribution: Distribution) -> bool:
    return not _METHODS_OF_DISTRIBUTION.isdisjoint(vars(distribution))


def _methods_are_sb3s(policy: ActorCriticPolicy) -> bool:
    kind = type(policy)
    of_policy = [getattr(kind, name) is method for name, method in _METHODS_OF_POLICY]
    others = _METHODS_BY_DISTRIBUTION.get(type(policy.action_dist), _METHODS_OF_MODULES)
    # Lists: a generator takes longer
    return all(of_policy) and all([getattr(owner, name) is method for owner, name, method in others])

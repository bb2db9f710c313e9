"""What a watch notices about a policy, what it does not mind, and that it does not forget."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.distributions import DiagGaussianDistribution
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from sb3_rpd.fast_path.watch import PolicyWatch, has_own_methods


def make_policy(policy_class: type[ActorCriticPolicy] = ActorCriticPolicy, **kwargs: Any) -> ActorCriticPolicy:
    space = spaces.Box(-1.0, 1.0, (3,), np.float32)
    return policy_class(space, space, lambda _: 1e-3, net_arch=[4], **kwargs)


@contextmanager
def attribute(owner: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, value, raising=False)
        yield


@contextmanager
def layer(owner: nn.Module, name: str, value: nn.Module) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    yield
    setattr(owner, name, before)


@contextmanager
def removing(handle: Any) -> Iterator[None]:
    yield
    handle.remove()


def nothing(*args: Any) -> None: ...


CHANGES: dict[str, Callable[[ActorCriticPolicy], Any]] = {
    "another layer": lambda policy: layer(policy, "action_net", nn.Linear(4, 3)),
    "another tower": lambda policy: layer(policy.mlp_extractor, "value_net", nn.Sequential(nn.Linear(3, 4), nn.Tanh())),
    "another class": lambda policy: attribute(policy.action_net, "__class__", type("Own", (nn.Linear,), {})),
    "method of a layer": lambda policy: attribute(policy.action_net, "forward", policy.action_net.forward),
    "compiled layer": lambda policy: attribute(policy.action_net, "_compiled_call_impl", policy.action_net.forward),
    "method of the policy": lambda policy: attribute(policy, "extract_features", policy.extract_features),
    "method of its class": lambda policy: attribute(ActorCriticPolicy, "_get_action_dist_from_latent", nothing),
    "another distribution": lambda policy: attribute(policy, "action_dist", DiagGaussianDistribution(3)),
    "method of the distribution": lambda policy: attribute(policy.action_dist, "sample", policy.action_dist.sample),
    "method of its kind": lambda policy: attribute(DiagGaussianDistribution, "entropy", nothing),
    "method of all layers": lambda policy: attribute(nn.Linear, "forward", nothing),
    "hook": lambda policy: removing(policy.action_net.register_forward_hook(nothing)),
    "hook before": lambda policy: removing(policy.value_net.register_forward_pre_hook(nothing)),
    "hook of all modules": lambda policy: removing(register_module_forward_hook(nothing)),
    "hook before all modules": lambda policy: removing(register_module_forward_pre_hook(nothing)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_change_is_noticed_and_not_forgotten(change: str) -> None:
    policy = make_policy()
    looking, not_looking = PolicyWatch(policy), PolicyWatch(policy)
    assert looking.is_unchanged()
    with CHANGES[change](policy):
        assert not looking.is_unchanged()
    # All is as it was: for somebody who has not looked in between nothing has happened
    assert not looking.is_unchanged()
    assert not_looking.is_unchanged()


def test_other_numbers_and_hooks_of_the_policy_itself_are_no_change() -> None:
    policy = make_policy()
    watch = PolicyWatch(policy)
    with th.no_grad():
        policy.action_net.weight.add_(1.0)
    policy.action_net.bias = nn.Parameter(th.ones(3))
    policy.load_state_dict({name: 2.0 * tensor for name, tensor in policy.state_dict().items()})
    policy.predict_values(th.zeros(1, 3)).sum().backward()
    policy.optimizer.step()
    policy.set_training_mode(True)
    with th.no_grad():
        policy.get_distribution(th.zeros(1, 3)).sample()
    copy.deepcopy(policy)
    policy.register_forward_hook(nothing)
    assert watch.is_unchanged()


@pytest.mark.parametrize("change", [name for name in CHANGES if "method" in name or "compiled" in name])
def test_methods_that_are_not_sb3s_or_torchs(change: str) -> None:
    policy = make_policy()
    assert not has_own_methods(policy)
    with CHANGES[change](policy):
        # Where the policy itself has one, `fast_acting` and `why_not_covered` look
        assert has_own_methods(policy) is (change != "method of the policy")
    assert not has_own_methods(policy)


def test_method_of_a_policys_class() -> None:
    class Own(ActorCriticPolicy):
        """Could do anything."""

        def extract_features(self, *args: Any) -> Any:
            return super().extract_features(*args)

    policy = make_policy(Own)
    assert has_own_methods(policy)
    assert not PolicyWatch(policy).is_unchanged()

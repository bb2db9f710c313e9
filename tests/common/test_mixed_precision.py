"""bfloat16 inside the features extractors, float32 outside, whatever happens inside."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from torch import nn

from sb3_rpd.common.mixed_precision import features_extractors, features_in_bf16, has_features_to_compute

IMAGE = spaces.Box(0, 255, (1, 36, 36), np.uint8)
BOX = spaces.Box(-1.0, 1.0, (2,), np.float32)


def make_policy(**kwargs: Any) -> ActorCriticPolicy:
    th.manual_seed(0)
    arguments: dict[str, Any] = {"net_arch": [4], "features_extractor_kwargs": {"features_dim": 8}}
    return ActorCriticCnnPolicy(IMAGE, BOX, lambda _: 1e-3, **arguments | kwargs)


def autocasts() -> bool:
    return th.is_autocast_enabled("cpu")


def hooks(policy: ActorCriticPolicy) -> list[Any]:
    return [hook for module in policy.modules() for hook in (*module._forward_hooks, *module._forward_pre_hooks)]


IMAGES = th.randint(0, 256, (3, 1, 36, 36), dtype=th.uint8, generator=th.Generator().manual_seed(1))


@pytest.mark.parametrize("share", [True, False])
def test_bf16_inside_the_extractors_and_float32_outside(share: bool) -> None:
    policy = make_policy(share_features_extractor=share)
    seen: dict[str, list[tuple[bool, th.dtype]]] = {"inside": [], "outside": []}

    def note(where: str) -> Callable[..., None]:
        return lambda module, inputs, output: seen[where].append((autocasts(), output.dtype))

    for extractor in features_extractors(policy):
        extractor.linear[0].register_forward_hook(note("inside"))
    for module in (policy.mlp_extractor.policy_net, policy.action_net, policy.value_net):
        module.register_forward_hook(note("outside"))
    before = hooks(policy)
    with features_in_bf16(policy):
        policy.evaluate_actions(IMAGES, th.zeros(3, 2))
        assert not autocasts()
    assert seen["inside"] == [(True, th.bfloat16)] * (1 if share else 2)
    assert seen["outside"] == [(False, th.float32)] * len(seen["outside"])
    assert len(seen["outside"]) >= 3
    assert hooks(policy) == before
    assert not autocasts()


def test_features_are_rounded_and_parameters_and_gradients_float32() -> None:
    policy = make_policy()
    exact = policy.extract_features(IMAGES)
    with features_in_bf16(policy):
        rounded = policy.extract_features(IMAGES)
        rounded.sum().backward()
    assert rounded.dtype == th.float32
    assert {parameter.dtype for parameter in policy.parameters()} == {th.float32}
    assert {parameter.grad.dtype for parameter in policy.features_extractor.parameters()} == {th.float32}
    # bfloat16 has 8 bits for a number
    error = (rounded - exact).abs().max() / exact.abs().max()
    assert 1e-5 < error < 0.02
    assert th.equal(policy.extract_features(IMAGES), exact)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_float32_again_after_an_error_inside_an_extractor(error: type[BaseException]) -> None:
    """torch calls no hook after an interrupt."""
    policy = make_policy(share_features_extractor=False)

    def fail(*args: Any) -> None:
        raise error

    handle = policy.vf_features_extractor.cnn[2].register_forward_hook(fail)
    with pytest.raises(error), features_in_bf16(policy):
        policy.evaluate_actions(IMAGES, th.zeros(3, 2))
    handle.remove()
    assert not autocasts()
    assert not hooks(policy)
    with features_in_bf16(policy):
        assert policy.evaluate_actions(IMAGES, th.zeros(3, 2))[0].dtype == th.float32
    assert not autocasts()


def test_training_goes_on_inside_after_an_error_that_is_caught() -> None:
    policy = make_policy()
    with features_in_bf16(policy):
        with pytest.raises(RuntimeError):
            policy.features_extractor(th.zeros(3, 2, 36, 36))
        assert not autocasts()
        assert policy.extract_features(IMAGES).dtype == th.float32


def test_which_policies_have_features_to_compute() -> None:
    assert has_features_to_compute(make_policy())
    vector = spaces.Box(-1.0, 1.0, (2,), np.float32)
    perceptron = ActorCriticPolicy(vector, BOX, lambda _: 1e-3)
    assert not has_features_to_compute(perceptron)
    perceptron.features_extractor = nn.Linear(2, 2)
    assert has_features_to_compute(perceptron)


def test_extractors_in_use() -> None:
    shared, separate = make_policy(), make_policy(share_features_extractor=False)
    assert features_extractors(shared) == [shared.features_extractor]
    assert features_extractors(separate) == [separate.pi_features_extractor, separate.vf_features_extractor]
    shared.features_extractor = nn.Identity()
    assert features_extractors(shared) == [shared.features_extractor]

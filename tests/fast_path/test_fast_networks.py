"""Networks of a policy and their gradient, against autograd through the policy itself in float64."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy, MultiInputActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import nn
from toy_heads import HEADS
from toy_minibatches import assert_equal_to_rounding, make_rows, plain_loss, settings

from sb3_rpd.common.losses import MSE, NLL
from sb3_rpd.common.ppo_loss import PolicyEvaluation
from sb3_rpd.fast_path.gradients import loss_gradient
from sb3_rpd.fast_path.heads.head import Outputs
from sb3_rpd.fast_path.imitation import imitation_gradient
from sb3_rpd.fast_path.networks import AutogradNetworks, Networks, PerceptronNetworks
from sb3_rpd.fast_path.optimizers import FlatOptimizer

VECTOR = spaces.Box(-1.0, 1.0, (5,), np.float32)
IMAGE = spaces.Box(0, 255, (2, 36, 36), np.uint8)
DICT = spaces.Dict({"image": IMAGE, "vector": VECTOR})
CNN = {"net_arch": [6], "features_extractor_kwargs": {"features_dim": 7}}

# name: (policy class, observation space, arguments)
POLICIES: dict[str, tuple[type[ActorCriticPolicy], spaces.Space, dict[str, Any]]] = {
    "tanh": (ActorCriticPolicy, VECTOR, {"net_arch": [8, 6]}),
    "relu": (ActorCriticPolicy, VECTOR, {"net_arch": [8, 6], "activation_fn": nn.ReLU}),
    "unequal": (ActorCriticPolicy, VECTOR, {"net_arch": {"pi": [4, 3, 5], "vf": [7]}}),
    "no_actor_layers": (ActorCriticPolicy, VECTOR, {"net_arch": {"pi": [], "vf": [4]}}),
    "no_layers": (ActorCriticPolicy, VECTOR, {"net_arch": []}),
    "one_hot": (ActorCriticPolicy, spaces.MultiDiscrete([3, 4]), {"net_arch": [5]}),
    "separate_flattening": (ActorCriticPolicy, VECTOR, {"net_arch": [5], "share_features_extractor": False}),
    "gelu": (ActorCriticPolicy, VECTOR, {"net_arch": [5], "activation_fn": nn.GELU}),
    "cnn": (ActorCriticCnnPolicy, IMAGE, CNN),
    "separate_cnns": (ActorCriticCnnPolicy, IMAGE, CNN | {"share_features_extractor": False}),
    "dict": (MultiInputActorCriticPolicy, DICT, {"net_arch": [6], "features_extractor_kwargs": {"cnn_output_dim": 5}}),
}
PERCEPTRONS = [name for name in POLICIES if name not in ("gelu", "cnn", "separate_cnns", "dict")]
AUTOGRAD = ["unequal", "separate_flattening", "gelu", "cnn", "separate_cnns", "dict"]
BOTH_KINDS = [*((name, PerceptronNetworks) for name in PERCEPTRONS), *((name, AutogradNetworks) for name in AUTOGRAD)]


def to_double(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    (observations,) = inputs
    if isinstance(observations, dict):
        return ({name: part.double() for name, part in observations.items()},)
    return (observations.double(),)


def make_policy(name: str, double: bool = True, **kwargs: Any) -> ActorCriticPolicy:
    policy_class, space, arguments = POLICIES[name]
    th.manual_seed(0)
    policy = policy_class(space, spaces.Box(-1.0, 1.0, (3,), np.float32), lambda _: 1e-3, **arguments | kwargs)
    with th.no_grad():
        # SB3 begins with actions near zero, biases of zero and one standard deviation for all
        policy.action_net.weight.mul_(50.0)
        for parameter in policy.parameters():
            parameter.add_(0.1 * th.randn_like(parameter))
    if double:
        policy.double()
        for extractor in {policy.features_extractor, policy.pi_features_extractor, policy.vf_features_extractor}:
            # SB3 makes every observation float32
            extractor.register_forward_pre_hook(to_double)
    return policy


def make_observations(name: str, n_rows: int, seed: int = 1) -> Any:
    space = POLICIES[name][1]
    space.seed(seed)
    samples = [space.sample() for _ in range(n_rows)]
    if isinstance(space, spaces.Dict):
        return {key: th.as_tensor(np.stack([sample[key] for sample in samples])) for key in space}
    return th.as_tensor(np.stack(samples))


def outputs_of(policy: ActorCriticPolicy, observations: Any) -> Outputs:
    """By the policy's own methods."""
    mean = policy.get_distribution(observations).distribution.mean
    return Outputs(mean, policy.log_std, policy.predict_values(observations).flatten())


def run(kind: type[Networks], policy: ActorCriticPolicy, use: Callable[[Networks], None]) -> dict[str, Any]:
    """:return: The gradients, by parameter, after ``use`` has called ``backward``."""
    with FlatOptimizer(policy.optimizer) if kind is PerceptronNetworks else nullcontext(), th.no_grad():
        use(kind(policy, 8) if kind is AutogradNetworks else kind(policy))
        return {name: parameter.grad.clone() for name, parameter in policy.named_parameters()}


@pytest.mark.parametrize(("name", "kind"), BOTH_KINDS)
@hypothesis.settings(max_examples=10)
@hypothesis.given(n_rows=st.integers(1, 8), seed=st.integers(0, 100))
def test_outputs_and_gradient_of_every_parameter(name: str, kind: type[Networks], n_rows: int, seed: int) -> None:
    policy = make_policy(name)
    observations = make_observations(name, n_rows, seed)
    expected = outputs_of(policy, observations)
    gradient = Outputs(*(th.randn_like(output) for output in expected[:3]))
    by_parameter = th.autograd.grad(expected[:3], [*policy.parameters()], gradient[:3])

    def use(networks: Networks) -> None:
        # What an earlier minibatch has left must not count
        networks.forward(make_observations(name, 3))
        networks.backward(Outputs(th.ones(3, 3).double(), th.ones(3).double(), th.ones(3).double()))
        outputs = networks.forward(observations)
        assert not any(output.requires_grad for output in outputs)
        assert_equal_to_rounding(outputs[:3], tuple(output.detach() for output in expected[:3]))
        networks.backward(gradient)

    gradients = run(kind, policy, use)
    for (parameter, actual), of_autograd in zip(gradients.items(), by_parameter, strict=True):
        th.testing.assert_close(actual, of_autograd, rtol=1e-12, atol=1e-12, msg=parameter)


@pytest.mark.parametrize(("name", "kind"), BOTH_KINDS)
@pytest.mark.parametrize("loss", [MSE(), NLL(), None])
def test_whole_chain_is_the_backward_pass_of_the_plain_path(name: str, kind: type[Networks], loss: Any) -> None:
    policy, observations, of_ppo = make_policy(name), make_observations(name, 8), settings(clip_range_vf=0.2)
    with th.no_grad():
        outputs = outputs_of(policy, observations)
    rows = make_rows(
        HEADS["gaussian"], Outputs(*(output.detach().clone() for output in outputs[:3])), th.Generator().manual_seed(2)
    )
    values, log_prob, entropy = policy.evaluate_actions(observations, rows.actions)
    evaluation = PolicyEvaluation(values, log_prob, entropy, policy.action_dist)
    total, _ = plain_loss(evaluation, rows, of_ppo, loss, 3.0)
    total.backward()
    expected = {name: parameter.grad for name, parameter in policy.named_parameters()}

    def use(networks: Networks) -> None:
        outputs = networks.forward(observations)
        head = HEADS["gaussian"].head()
        imitation = None if loss is None else imitation_gradient(head, loss, 3.0, of_ppo.clip_range)
        networks.backward(loss_gradient(head, outputs, head.evaluate(outputs, rows), rows, of_ppo, imitation))

    assert_equal_to_rounding(run(kind, policy, use), expected)
    assert all(gradient.abs().max() > 0.0 for gradient in expected.values())


def test_outputs_stay_valid_when_the_parameters_change() -> None:
    for kind in (PerceptronNetworks, AutogradNetworks):
        policy, observations = make_policy("tanh"), make_observations("tanh", 4)

        def use(networks: Networks, policy: ActorCriticPolicy = policy, observations: Any = observations) -> None:
            outputs = networks.forward(observations)
            before = [output.clone() for output in outputs]
            networks.backward(outputs)
            for parameter in policy.parameters():
                parameter.add_(1.0)
            networks.forward(observations + 1.0)
            assert all(map(th.equal, outputs, before))

        run(kind, policy, use)


# ---------------------------------------------------------------- which policies are perceptrons


@pytest.mark.parametrize("name", POLICIES)
def test_which_policies_are_perceptrons(name: str) -> None:
    assert PerceptronNetworks.fits(make_policy(name, double=False)) is (name in PERCEPTRONS)


def test_extractors_that_are_looked_at_are_those_in_use() -> None:
    class OwnFlattening(FlattenExtractor):
        """Could do anything."""

    perceptron = make_policy("separate_flattening", double=False)
    perceptron.vf_features_extractor = OwnFlattening(VECTOR)
    assert not PerceptronNetworks.fits(perceptron)


def share_a_tower(policy: ActorCriticPolicy) -> None:
    policy.mlp_extractor.value_net = policy.mlp_extractor.policy_net


def share_a_weight(policy: ActorCriticPolicy) -> None:
    policy.mlp_extractor.value_net[0].weight = policy.mlp_extractor.policy_net[0].weight


def end_a_tower_without_activation(policy: ActorCriticPolicy) -> None:
    policy.mlp_extractor.policy_net = policy.mlp_extractor.policy_net[:-1]


def mix_activations(policy: ActorCriticPolicy) -> None:
    policy.mlp_extractor.policy_net[1] = nn.ReLU()


def leave_a_bias_out(policy: ActorCriticPolicy) -> None:
    policy.action_net = nn.Linear(6, 3, bias=False)


def make_log_std_a_constant(policy: ActorCriticPolicy) -> None:
    del policy.log_std
    policy.register_buffer("log_std", th.zeros(3))


CHANGES: dict[str, Callable[[ActorCriticPolicy], Any]] = {
    "one_tower_for_both": share_a_tower,
    "shared_weight": share_a_weight,
    "tower_without_last_activation": end_a_tower_without_activation,
    "mixed_activations": mix_activations,
    "no_bias": leave_a_bias_out,
    "constant_log_std": make_log_std_a_constant,
    "more_parameters": lambda policy: policy.register_parameter("extra", nn.Parameter(th.zeros(2))),
    "frozen_log_std": lambda policy: policy.log_std.requires_grad_(False),
    "frozen_layer": lambda policy: policy.action_net.requires_grad_(False),
    "own_head": lambda policy: setattr(policy, "action_net", nn.Sequential(nn.Linear(6, 3), nn.Tanh())),
    "spectral_norm": lambda policy: nn.utils.parametrizations.spectral_norm(policy.action_net),
    "weight_norm_by_hook": lambda policy: nn.utils.spectral_norm(policy.action_net),
    "forward_hook": lambda policy: policy.action_net.register_forward_hook(lambda *args: None),
    "forward_pre_hook": lambda policy: policy.mlp_extractor.register_forward_pre_hook(lambda *args: None),
    "backward_hook": lambda policy: policy.value_net.register_full_backward_hook(lambda *args: None),
    "backward_pre_hook": lambda policy: policy.value_net.register_full_backward_pre_hook(lambda *args: None),
    "gradient_hook": lambda policy: policy.log_std.register_hook(lambda gradient: None),
    "accumulation_hook": lambda policy: policy.log_std.register_post_accumulate_grad_hook(lambda parameter: None),
}


@pytest.mark.parametrize("change", CHANGES)
def test_perceptron_that_somebody_has_changed_is_left_to_autograd(change: str) -> None:
    """What the chain rule written out would pass over in silence. Hooks are where torch keeps them today."""
    policy = make_policy("tanh", double=False)
    assert PerceptronNetworks.fits(policy)
    CHANGES[change](policy)
    assert not PerceptronNetworks.fits(policy)


def test_frozen_outputs_have_no_gradient() -> None:
    policy, observations = make_policy("tanh"), make_observations("tanh", 4)
    policy.log_std.requires_grad_(False)
    policy.mlp_extractor.policy_net.requires_grad_(False)
    policy.action_net.requires_grad_(False)
    networks = AutogradNetworks(policy, 4)
    networks.backward(networks.forward(observations))
    with_gradient = {name for name, parameter in policy.named_parameters() if parameter.grad is not None}
    assert with_gradient == {name for name, _ in policy.named_parameters() if "value_net" in name}


def test_gradient_hook_on_log_std_is_called() -> None:
    policy, observations = make_policy("cnn"), make_observations("cnn", 4)
    policy.log_std.register_hook(lambda gradient: 10.0 * gradient)
    networks = AutogradNetworks(policy, 4)
    outputs = networks.forward(observations)
    networks.backward(outputs)
    assert_equal_to_rounding(policy.log_std.grad, 10.0 * outputs.log_std)


@pytest.mark.parametrize(
    ("find", "name"),
    [
        (lambda policy: policy.action_net, "forward"),
        (lambda policy: policy.mlp_extractor, "forward_critic"),
        (lambda policy: policy.mlp_extractor.policy_net, "forward"),
        (lambda policy: policy.action_dist, "log_prob"),
    ],
)
def test_method_in_place_of_one_of_a_module_is_not_passed_over(find: Callable[[Any], Any], name: str) -> None:
    """Neither in a rollout nor in training."""
    policy = make_policy("tanh", double=False)
    owner = find(policy)
    method = getattr(owner, name)
    setattr(owner, name, lambda *args: method(*args))
    assert not PerceptronNetworks.fits(policy)
    delattr(owner, name)
    assert PerceptronNetworks.fits(policy)

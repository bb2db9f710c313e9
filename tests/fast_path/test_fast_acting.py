"""Acting without the policy's modules: the same bits, and nothing left behind."""

import copy
import math
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.distributions import DiagGaussianDistribution, SquashedDiagGaussianDistribution
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import MlpExtractor
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import parametrizations, prune
from toy_envs import ACTION_SPACES, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.fast_path.acting import acts_fast, fast_acting

pytestmark = pytest.mark.filterwarnings("ignore:RPD has no teacher")
VECTOR = spaces.Box(-1.0, 1.0, (4,), np.float32)


def make_policy(
    observation_space: spaces.Space = VECTOR, action_shape: tuple[int, ...] = (3,), **kwargs: Any
) -> ActorCriticPolicy:
    th.manual_seed(0)
    action_space = spaces.Box(-1.0, 1.0, action_shape, np.float32)
    policy = ActorCriticPolicy(observation_space, action_space, lambda _: 1e-3, log_std_init=-0.3, **kwargs)
    with th.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * th.randn_like(parameter))
    return policy


def same_bits(first: Any, second: Any) -> bool:
    return all(a.dtype == b.dtype and a.shape == b.shape and th.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("activation_fn", [nn.Tanh, nn.ReLU])
@pytest.mark.parametrize("net_arch", [[], [16], {"pi": [8, 7], "vf": [64, 3]}])
@given(n_envs=st.integers(1, 9), deterministic=st.booleans(), action_shape=st.sampled_from([(1,), (3,), (2, 2)]))
def test_calls_give_the_same_bits_and_use_the_same_random_numbers(
    activation_fn: type[nn.Module], net_arch: Any, n_envs: int, deterministic: bool, action_shape: tuple[int, ...]
) -> None:
    policy = make_policy(action_shape=action_shape, net_arch=net_arch, activation_fn=activation_fn)
    observations = th.randn(n_envs, 4)
    results = []
    for fast in (False, True):
        th.manual_seed(7)
        with th.no_grad():
            if fast:
                with fast_acting(policy):
                    assert acts_fast(policy)
                    result = (*policy(observations, deterministic=deterministic), policy.predict_values(observations))
            else:
                result = (*policy(observations, deterministic=deterministic), policy.predict_values(observations))
        results.append((*result, th.get_rng_state()))
    assert same_bits(*results)


@pytest.mark.parametrize(
    "observation_space", [spaces.Discrete(5), spaces.MultiBinary(4), spaces.Box(-1.0, 1.0, (2, 3), np.float64)]
)
def test_observations_are_prepared_as_ever(observation_space: spaces.Space) -> None:
    policy = make_policy(observation_space)
    observations = th.as_tensor(np.stack([observation_space.sample() for _ in range(3)]))
    with th.no_grad():
        expected = policy(observations, deterministic=True)
        with fast_acting(policy):
            assert same_bits(policy(observations, deterministic=True), expected)


def attributes(policy: ActorCriticPolicy) -> set[str]:
    return {*vars(policy)}


def test_policy_is_restored_also_by_an_error_and_when_nested() -> None:
    policy = make_policy()
    before = attributes(policy)
    with fast_acting(policy):
        with fast_acting(policy):
            pass
        assert acts_fast(policy)
    assert attributes(policy) == before
    broken = th.zeros(1, 3)
    with pytest.raises(RuntimeError), fast_acting(policy), th.no_grad():
        policy(broken)
    assert attributes(policy) == before
    assert not acts_fast(policy)


def own_forward(policy: ActorCriticPolicy) -> None:
    policy.forward = policy.forward


def own_method_of_a_layer(policy: ActorCriticPolicy) -> None:
    policy.action_net.forward = policy.action_net.forward


def own_distribution(policy: ActorCriticPolicy) -> None:
    policy.action_dist.log_prob = policy.action_dist.log_prob


@pytest.mark.parametrize(
    "prepare",
    [
        lambda policy: policy.mlp_extractor.policy_net.append(nn.GELU()),
        lambda policy: policy.value_net.register_forward_hook(lambda *args: None),
        own_forward,
        own_method_of_a_layer,
        own_distribution,
    ],
)
def test_policy_that_is_not_sb3s_own_is_left_alone(prepare: Callable[[ActorCriticPolicy], Any]) -> None:
    policy = make_policy()
    prepare(policy)
    before = dict(vars(policy))
    with fast_acting(policy):
        assert vars(policy) == before
    assert vars(policy) == before


def test_forward_that_was_kept_is_the_policys_own_afterwards() -> None:
    """As of a callback that puts a function in place of ``forward``, calls the old one in it and puts that one back."""
    policy = make_policy()
    with fast_acting(policy):
        kept = policy.forward
        policy.forward = lambda *args, **kwargs: kept(*args, **kwargs)
    assert "forward" in vars(policy)
    policy.forward = kept
    policy.action_net = nn.Linear(64, 3)
    with th.no_grad():
        expected = type(policy).forward(policy, th.ones(2, 4), deterministic=True)
        assert same_bits(policy(th.ones(2, 4), deterministic=True), expected)
        with fast_acting(policy):
            assert same_bits(policy(th.ones(2, 4), deterministic=True), expected)


def test_infinite_mean_passes_as_in_torch() -> None:
    policy = make_policy()
    with th.no_grad():
        policy.action_net.bias.fill_(math.inf)
        expected = policy(th.zeros(1, 4), deterministic=True)
        with fast_acting(policy):
            actions, values, log_prob = policy(th.zeros(1, 4), deterministic=True)
    assert th.equal(actions, expected[0])
    assert th.equal(values, expected[1])
    assert log_prob.isnan()
    assert expected[2].isnan()


def test_gradient_is_there_where_it_is_wanted() -> None:
    policy = make_policy()
    with fast_acting(policy):
        assert all(output.requires_grad for output in policy(th.zeros(2, 4)))
        assert policy.predict_values(th.zeros(2, 4)).requires_grad
        with th.no_grad():
            assert not policy(th.zeros(2, 4))[1].requires_grad


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
def test_copy_that_a_callback_takes_acts_on_its_own_parameters(
    copied: Callable[[ActorCriticPolicy], ActorCriticPolicy],
) -> None:
    policy = make_policy()
    policy.lr_schedule = None
    with fast_acting(policy):
        other = copied(policy)
    with th.no_grad():
        other.action_net.weight.zero_()
        other.action_net.bias.fill_(5.0)
        other.value_net.weight.zero_()
        other.value_net.bias.fill_(7.0)
        assert other(th.zeros(1, 4), deterministic=True)[0].tolist() == [[5.0] * 3]
        assert other.predict_values(th.zeros(1, 4)).tolist() == [[7.0]]
        assert policy(th.zeros(1, 4), deterministic=True)[0].tolist() != [[5.0] * 3]
    assert not acts_fast(other)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda policy: policy.action_net.bias.fill_(math.nan),
        lambda policy: policy.log_std.fill_(math.nan),
        # A standard deviation of 0: the plain path refuses it too
        lambda policy: policy.log_std.fill_(-200.0),
    ],
)
def test_nan_is_refused(spoil: Callable[[ActorCriticPolicy], Any]) -> None:
    policy = make_policy()
    with th.no_grad():
        spoil(policy)
        with pytest.raises(ValueError, match="Expected parameter"):
            policy(th.zeros(1, 4))
        with fast_acting(policy), pytest.raises(ValueError, match=r"distribution of actions is NaN\. Either an observation"):
            policy(th.zeros(1, 4))


def test_nan_in_one_observation_is_refused() -> None:
    policy = make_policy()
    observations = th.zeros(3, 4)
    observations[1, 2] = math.nan
    with fast_acting(policy), th.no_grad(), pytest.raises(ValueError, match="NaN"):
        policy(observations)


# ---------------------------------------------------------------- whole rollouts


class Meddling(BaseCallback):
    """Calls a function with the policy and the number of steps taken, at each step."""

    def __init__(self, change: Callable[[ActorCriticPolicy, int], Any]) -> None:
        super().__init__()
        self.change = change

    def _on_step(self) -> bool:
        with th.no_grad():
            self.change(self.model.policy, self.num_timesteps)
        return True


def replace_data(policy: ActorCriticPolicy, n_steps: int) -> None:
    policy.action_net.weight.data = policy.action_net.weight.data + 0.01


def replace_data_of_critic(policy: ActorCriticPolicy, n_steps: int) -> None:
    policy.value_net.bias.data = policy.value_net.bias.data + 0.01


def replace_parameters(policy: ActorCriticPolicy, n_steps: int) -> None:
    policy.mlp_extractor.policy_net[0].weight = nn.Parameter(policy.mlp_extractor.policy_net[0].weight * 1.1)


def load(policy: ActorCriticPolicy, n_steps: int) -> None:
    policy.load_state_dict({name: 1.01 * tensor for name, tensor in policy.state_dict().items()})


def assign(policy: ActorCriticPolicy, n_steps: int) -> None:
    policy.load_state_dict({name: 1.01 * tensor for name, tensor in policy.state_dict().items()}, assign=True)


def patch(owner: Any, name: str, function: Callable[..., Any]) -> None:
    method = getattr(owner, name)
    setattr(owner, name, lambda *args, **kwargs: function(method, *args, **kwargs))


def noisy(forward: Callable[..., Any], obs: th.Tensor, deterministic: bool = False) -> Any:
    actions, values, log_prob = forward(obs, deterministic)
    return actions + 0.1 * th.randn_like(actions), values + 1.0, log_prob


def shifted(method: Callable[..., Any], *args: Any) -> Any:
    return method(*args) + 0.5


def plus_one(module: nn.Module, inputs: Any, output: th.Tensor) -> th.Tensor:
    return output + 1.0


def shift_log_prob(module: nn.Module, inputs: Any, output: Any) -> Any:
    return output[0], output[1], output[2] + 1.0


def hook_for_one_step(policy: ActorCriticPolicy, n_steps: int) -> None:
    if n_steps == 9:
        policy.hook_to_remove = policy.value_net.register_forward_hook(plus_one)
    if n_steps == 12:
        policy.hook_to_remove.remove()


def wider(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        module.weight.mul_(1.1)


class Doubling(nn.Linear):
    """A layer whose output is doubled."""

    def forward(self, features: th.Tensor) -> th.Tensor:
        return 2.0 * super().forward(features)


# name: (action space, arguments)
DISTRIBUTIONS: dict[str, tuple[spaces.Space, dict[str, Any]]] = {
    "gaussian": (ACTION_SPACES["box"], {}),
    "categorical": (ACTION_SPACES["discrete"], {}),
    "multicategorical": (ACTION_SPACES["multidiscrete"], {}),
    "bernoulli": (ACTION_SPACES["multibinary"], {}),
    "gsde": (ACTION_SPACES["box"], {"use_sde": True, "sde_sample_freq": 4}),
    "squashed_gsde": (ACTION_SPACES["box"], {"use_sde": True, "policy_kwargs": {"squash_output": True}}),
}

CHANGES: dict[str, Callable[[ActorCriticPolicy, int], Any]] = {
    "none": lambda policy, n_steps: None,
    "log_std": lambda policy, n_steps: policy.log_std.sub_(0.1),
    "new_log_std": lambda policy, n_steps: setattr(policy, "log_std", nn.Parameter(policy.log_std - 0.1)),
    "weights": lambda policy, n_steps: policy.mlp_extractor.policy_net[0].weight.mul_(1.1),
    "data": replace_data,
    "data_of_critic": replace_data_of_critic,
    "parameters": replace_parameters,
    "loaded": load,
    "assigned": assign,
    "reached_by_apply": lambda policy, n_steps: policy.double().float(),
    "transposed_data": lambda policy, n_steps: setattr(
        policy.mlp_extractor.policy_net[2].weight, "data", policy.mlp_extractor.policy_net[2].weight.data.t()
    ),
    "another_head": lambda policy, n_steps: setattr(policy, "action_net", nn.Linear(64, 2)),
    "another_layer": lambda policy, n_steps: policy.mlp_extractor.value_net.__setitem__(0, nn.Linear(4, 64)),
    "one_layer_more": lambda policy, n_steps: policy.mlp_extractor.policy_net.append(nn.Linear(64, 64)),
    "another_activation": lambda policy, n_steps: policy.mlp_extractor.policy_net.__setitem__(1, nn.ReLU()),
    "layers_change_places": lambda policy, n_steps: policy.mlp_extractor.policy_net.__setitem__(
        0, policy.mlp_extractor.value_net[0]
    ),
    "another_extractor": lambda policy, n_steps: setattr(
        policy, "mlp_extractor", copy.deepcopy(policy.mlp_extractor).apply(wider)
    ),
    "no_bias": lambda policy, n_steps: setattr(policy.action_net, "bias", None),
    "pruned": lambda policy, n_steps: n_steps == 9 and prune.l1_unstructured(policy.action_net, "weight", amount=0.5),
    "parametrized": lambda policy, n_steps: n_steps == 9 and parametrizations.weight_norm(policy.action_net),
    "another_class": lambda policy, n_steps: setattr(policy.action_net, "__class__", Doubling),
    "patched": lambda policy, n_steps: n_steps == 9 and patch(policy, "forward", noisy),
    "patched_for_a_while": lambda policy, n_steps: (
        (n_steps == 9 and patch(policy, "forward", noisy)) or (n_steps == 24 and delattr(policy, "forward"))
    ),
    "patched_from_time_to_time": lambda policy, n_steps: (
        patch(policy, "forward", noisy) if n_steps % 6 else "forward" in vars(policy) and delattr(policy, "forward")
    ),
    "patched_layer": lambda policy, n_steps: n_steps == 9 and patch(policy.action_net, "forward", shifted),
    "patched_features": lambda policy, n_steps: n_steps == 9 and patch(policy, "extract_features", shifted),
    "patched_way_to_the_distribution": lambda policy, n_steps: (
        n_steps == 9 and patch(policy, "_get_action_dist_from_latent", lambda method, latent: method(latent + 1.0))
    ),
    "patched_distribution": lambda policy, n_steps: n_steps == 9 and patch(policy.action_dist, "log_prob", shifted),
    "another_distribution": lambda policy, n_steps: setattr(policy, "action_dist", SquashedDiagGaussianDistribution(2)),
    "hook": lambda policy, n_steps: n_steps == 9 and policy.action_net.register_forward_hook(plus_one),
    "hook_for_one_step": hook_for_one_step,
    "hook_before_a_layer": lambda policy, n_steps: policy.mlp_extractor.register_forward_pre_hook(
        lambda module, inputs: (inputs[0] * 1.1,)
    ),
    "hook_of_the_policy": lambda policy, n_steps: n_steps == 9 and policy.register_forward_hook(shift_log_prob),
    "copied": lambda policy, n_steps: copy.deepcopy(policy),
    "loaded_from_a_copy": lambda policy, n_steps: policy.load_state_dict(
        {name: 1.01 * tensor for name, tensor in copy.deepcopy(policy).state_dict().items()}
    ),
}


def rollout(algorithm: type[PPO], change: str, distribution: str = "gaussian") -> dict[str, np.ndarray]:
    action_space, arguments = DISTRIBUTIONS[distribution]
    env = make_vec_env(lambda: SpacesEnv(action_space), n_envs=3, seed=3)
    model = algorithm("MlpPolicy", env, n_steps=15, batch_size=9, n_epochs=1, seed=5, device="cpu", **arguments)
    model.set_logger(configure(None, []))
    _, callback = model._setup_learn(45, Meddling(CHANGES[change]))
    callback.on_training_start(locals(), globals())
    model.collect_rollouts(env, callback, model.rollout_buffer, 15)
    names = ("observations", "actions", "rewards", "episode_starts", "values", "log_probs", "advantages", "returns")
    return {name: getattr(model.rollout_buffer, name).copy() for name in names} | {"random": th.get_rng_state().numpy()}


@pytest.mark.parametrize("change", CHANGES)
def test_rollout_is_ppos_to_the_last_bit_whatever_a_callback_does(change: str) -> None:
    """With episodes that are truncated, and so values of terminal observations."""
    expected, actual = rollout(PPO, change), rollout(RPD, change)
    for name, array in expected.items():
        assert array.dtype == actual[name].dtype
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


@pytest.mark.parametrize("change", ["none", "parameters", "patched_distribution", "hook_for_one_step", "another_head"])
@pytest.mark.parametrize("distribution", [name for name in DISTRIBUTIONS if name != "gaussian"])
def test_rollout_is_ppos_with_every_distribution(distribution: str, change: str) -> None:
    if change == "another_head" and distribution not in ("gsde", "squashed_gsde"):
        # Which here has two outputs
        change = "layers_change_places"
    expected, actual = rollout(PPO, change, distribution), rollout(RPD, change, distribution)
    for name, array in expected.items():
        assert array.dtype == actual[name].dtype
        np.testing.assert_array_equal(actual[name], array, err_msg=name)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_step_is_fast_while_nobody_meddles(distribution: str) -> None:
    """Also the first one, in which SB3's gSDE gets another attribute."""
    action_space, arguments = DISTRIBUTIONS[distribution]
    env = make_vec_env(lambda: SpacesEnv(action_space), n_envs=3, seed=3)
    model = RPD("MlpPolicy", env, n_steps=15, batch_size=9, n_epochs=1, seed=5, device="cpu", **arguments)
    calls: list[bool] = []

    class Counting(BaseCallback):
        def _on_step(self) -> bool:
            calls.append(self.model.policy.forward._watch.is_unchanged())
            return True

    model.learn(45, callback=Counting())
    assert calls == [True] * 15


PATCHED_CLASSES = [
    (nn.Linear, "forward"),
    (nn.Tanh, "forward"),
    (MlpExtractor, "forward_actor"),
    (ActorCriticPolicy, "forward"),
    (ActorCriticPolicy, "extract_features"),
    (DiagGaussianDistribution, "log_prob"),
]


@pytest.mark.parametrize(("owner", "name"), PATCHED_CLASSES)
def test_method_in_place_of_one_of_a_class_is_called(owner: type, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy, calls, method = make_policy(), [], getattr(owner, name)

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(name)
        return method(*args, **kwargs)

    with fast_acting(policy), th.no_grad():
        policy(th.zeros(1, 4))
        monkeypatch.setattr(owner, name, counted)
        policy(th.zeros(1, 4))
        assert calls
        monkeypatch.undo()
        policy(th.zeros(1, 4))
    calls.clear()
    monkeypatch.setattr(owner, name, counted)
    with fast_acting(policy), th.no_grad():
        policy(th.zeros(1, 4))
    assert calls


def test_hook_on_all_modules_is_called() -> None:
    policy, called = make_policy(), []
    with fast_acting(policy), th.no_grad():
        policy(th.zeros(1, 4))
        handle = register_module_forward_hook(lambda module, inputs, output: called.append(type(module)))
        try:
            policy(th.zeros(1, 4))
        finally:
            handle.remove()
    assert called.count(nn.Linear) == 6


class Onlooker(BaseCallback):
    """Looks at the distribution from which the actions of each step were sampled, and copies the policy."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def _on_step(self) -> bool:
        distribution = self.model.policy.action_dist
        gaussian = distribution.distribution
        actions = th.as_tensor(self.locals["actions"])
        numbers = (gaussian.mean, gaussian.stddev, distribution.log_prob(actions), distribution.entropy(), distribution.mode())
        self.seen.append([tensor.clone() for tensor in numbers])
        copied = copy.deepcopy(self.model.policy)
        self.seen.append([copied.action_dist.distribution.mean])
        return True


@pytest.mark.parametrize("teacher", [None, scripted_teacher(ACTION_SPACES["box"])], ids=["no_teacher", "gate_that_shuts"])
def test_callback_finds_the_distribution_of_the_last_action_and_can_copy_it(teacher: Any) -> None:
    """Also after a training without imitation, which leaves a distribution with a gradient."""
    seen = []
    own = {"teacher": teacher, "imitation_coef": 0.0}
    for algorithm, arguments in ((PPO, {}), (RPD, own)):
        env = make_vec_env(lambda: SpacesEnv(ACTION_SPACES["box"]), n_envs=3, seed=3)
        model = algorithm("MlpPolicy", env, n_steps=5, batch_size=15, n_epochs=1, seed=5, device="cpu", **arguments)
        onlooker = Onlooker()
        model.learn(45, callback=onlooker)
        seen.append(onlooker.seen)
    assert len(seen[0]) == 30
    assert all(same_bits(*pair) for pair in zip(*seen, strict=True))


def test_models_act_one_inside_the_other() -> None:
    """A callback that lets another model act, as in self-play."""
    policies = [make_policy(), make_policy(net_arch=[8])]
    with th.no_grad():
        policies[1].action_net.bias.add_(1.0)
        expected = [policy(th.zeros(1, 4), deterministic=True) for policy in policies]
        with fast_acting(policies[0]), fast_acting(policies[1]):
            actual = [policy(th.zeros(1, 4), deterministic=True) for policy in policies]
    assert all(same_bits(*pair) for pair in zip(expected, actual, strict=True))

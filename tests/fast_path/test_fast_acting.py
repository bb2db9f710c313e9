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
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd import RPD
from sb3_rpd.fast_path.acting import PerceptronActor, acts_fast, fast_acting

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
                    assert isinstance(policy.forward._function.__self__, PerceptronActor)
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


def test_policy_that_is_no_perceptron_is_left_alone() -> None:
    policy = make_policy(activation_fn=nn.GELU)
    before = attributes(policy)
    with fast_acting(policy):
        assert attributes(policy) == before


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
}


def rollout(algorithm: type[PPO], change: str, **kwargs: Any) -> dict[str, np.ndarray]:
    env = make_vec_env(lambda: SpacesEnv(ACTION_SPACES["box"]), n_envs=3, seed=3)
    model = algorithm("MlpPolicy", env, n_steps=15, batch_size=9, n_epochs=1, seed=5, device="cpu", **kwargs)
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


def test_models_act_one_inside_the_other() -> None:
    """A callback that lets another model act, as in self-play."""
    policies = [make_policy(), make_policy(net_arch=[8])]
    with th.no_grad():
        policies[1].action_net.bias.add_(1.0)
        expected = [policy(th.zeros(1, 4), deterministic=True) for policy in policies]
        with fast_acting(policies[0]), fast_acting(policies[1]):
            actual = [policy(th.zeros(1, 4), deterministic=True) for policy in policies]
    assert all(same_bits(*pair) for pair in zip(expected, actual, strict=True))

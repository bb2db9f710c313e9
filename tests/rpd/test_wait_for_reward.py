"""``wait_for_reward``: a rollout without a reward to go by trains imitation and value function alone."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, MaskedEnv, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.maskable_rpd import MaskableRPD
from sb3_rpd.recurrent_rpd import RecurrentRPD

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]


def unrewarded(env_class: type[SpacesEnv]) -> type[SpacesEnv]:
    class Unrewarded(env_class):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, _, *others = super().step(action)
            return observation, 0.0, *others

    return Unrewarded


def make(
    env_class: type[SpacesEnv] = SpacesEnv, make_model: Callable[..., RPD] = RPD, policy: str = "MlpPolicy", **kwargs: Any
) -> RPD:
    action_space = kwargs.pop("action_space", BOX)
    env = make_vec_env(lambda: env_class(action_space), n_envs=2, seed=0)
    settings: dict[str, Any] = {"n_steps": 12, "batch_size": 8, "n_epochs": 2, "seed": 0, "device": "cpu"}
    return make_model(policy, env, teacher=scripted_teacher(action_space), **settings | {"wait_for_reward": True} | kwargs)


def parameters(model: RPD) -> np.ndarray:
    return np.concatenate([values.detach().numpy().ravel() for values in model.policy.parameters()])


def test_without_a_reward_the_policys_step_is_the_imitation_losss() -> None:
    sgd = {"optimizer_class": th.optim.SGD}
    settings: dict[str, Any] = {
        "n_epochs": 1,
        "batch_size": 24,
        "max_grad_norm": 1e9,
        "learning_rate": 0.1,
        "imitation_coef": 3.0,
    }
    model = make(unrewarded(SpacesEnv), policy_kwargs=sgd, **settings)
    by_hand = deepcopy(model.policy).double()
    model.learn(24)
    # an episode is cut off here and there, which SB3 answers with a value of its own
    assert len(np.unique(model.rollout_buffer.rewards)) > 1

    observations = th.as_tensor(model.rollout_buffer.observations.reshape(24, -1), dtype=th.float64)
    labels = th.as_tensor(model.rollout_buffer.labels_in_present_order().reshape(24, -1), dtype=th.float64)
    means = by_hand.action_net(by_hand.mlp_extractor.forward_actor(observations))
    (3.0 * ((means - labels) ** 2).mean()).backward()
    for name, before in by_hand.named_parameters():
        if before.grad is not None:
            after = (before - 0.1 * before.grad).detach().numpy()
            np.testing.assert_allclose(model.policy.get_parameter(name).detach(), after, atol=1e-6, err_msg=name)
    assert not model.policy.log_std.any()


@pytest.mark.parametrize("fast", [None, False])
@pytest.mark.parametrize("waits", [True, False])
def test_ppos_noise_is_left_out_on_either_path(fast: bool | None, waits: bool) -> None:
    model = make(unrewarded(SpacesEnv), fast=fast, wait_for_reward=waits).learn(48)
    logged = model.logger.name_to_value
    # nothing but PPO's policy loss moves the standard deviation
    assert (model.policy.log_std.abs().max() == 0.0) == waits
    assert (logged["train/policy_gradient_loss"] == 0.0) == waits
    assert logged.get("train/waits_for_reward") == (1.0 if waits else None)
    assert logged["train/value_loss"] > 0.0


@pytest.mark.parametrize("fast", [None, False])
def test_with_rewards_nothing_changes_to_the_last_bit(fast: bool | None) -> None:
    waiting = make(fast=fast).learn(48)
    np.testing.assert_array_equal(parameters(waiting), parameters(make(fast=fast, wait_for_reward=False).learn(48)))
    assert waiting.logger.name_to_value["train/waits_for_reward"] == 0.0


def test_nothing_is_learned_of_the_teachers_error_either() -> None:
    debiasing = LabelDebiasing(step_size=1.0, start=0.0)
    make(unrewarded(SpacesEnv), label_debiasing=debiasing).learn(48)
    assert debiasing.bias is not None
    assert not debiasing.bias.any()
    assert not debiasing.gain.any()
    make(label_debiasing=debiasing).learn(48)
    assert debiasing.bias.all()


@pytest.mark.parametrize("bonus", [0.0, 1.0])
def test_rewards_of_a_callback_count(bonus: float) -> None:
    def add(locals_: dict[str, Any], globals_: dict[str, Any]) -> bool:
        locals_["rewards"][0] += bonus
        return True

    model = make(unrewarded(SpacesEnv)).learn(48, callback=add)
    assert model.logger.name_to_value["train/waits_for_reward"] == 1.0 - bonus


def test_without_imitation_it_is_ppo() -> None:
    # nothing is there to follow meanwhile
    model = make(unrewarded(SpacesEnv), imitation_coef=0.0).learn(48)
    same = make(unrewarded(SpacesEnv), imitation_coef=0.0, wait_for_reward=False).learn(48)
    np.testing.assert_array_equal(parameters(model), parameters(same))
    assert "train/waits_for_reward" not in model.logger.name_to_value


@pytest.mark.parametrize(
    ("make_model", "env_class", "policy", "action_space"),
    [(RecurrentRPD, SpacesEnv, "MlpLstmPolicy", BOX), (MaskableRPD, MaskedEnv, "MlpPolicy", ACTION_SPACES["discrete"])],
)
def test_recurrent_and_masked_students_wait_too(
    make_model: type[RPD], env_class: type[SpacesEnv], policy: str, action_space: Any
) -> None:
    model = make(unrewarded(env_class), make_model, policy, action_space=action_space).learn(48)
    assert model.logger.name_to_value["train/waits_for_reward"] == 1.0
    assert model.logger.name_to_value["train/policy_gradient_loss"] == 0.0


def test_it_is_saved_with_the_student(tmp_path: Any) -> None:
    make().save(tmp_path / "student")
    assert RPD.load(tmp_path / "student").wait_for_reward

"""``wait_for_reward``: PPO's policy loss counts as much as there are rewards to go by."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, MaskedEnv, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.maskable_rpd import MaskableRPD
from sb3_rpd.recurrent_rpd import RecurrentRPD

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]
#: Of the environments' first episode, which is cut off, and the second one, which ends by itself.
N_STEPS = 7 + 5


def paying(success: float, env_class: type[SpacesEnv] = SpacesEnv) -> type[SpacesEnv]:
    class Sparse(env_class):  # type: ignore[misc, valid-type]
        def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
            observation, _, terminated, *others = super().step(action)
            return observation, success * terminated, terminated, *others

    return Sparse


def make(
    env_class: type[SpacesEnv] = SpacesEnv, make_model: Callable[..., RPD] = RPD, policy: str = "MlpPolicy", **kwargs: Any
) -> RPD:
    action_space = kwargs.pop("action_space", BOX)
    env = make_vec_env(lambda: env_class(action_space), n_envs=2, seed=0)
    settings: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": 8, "n_epochs": 2, "seed": 0, "device": "cpu"}
    return make_model(policy, env, teacher=scripted_teacher(action_space), **settings | {"wait_for_reward": True} | kwargs)


def parameters(model: RPD) -> np.ndarray:
    return np.concatenate([values.detach().numpy().ravel() for values in model.policy.parameters()])


class Advantages(BaseCallback):
    """Keeps those that SB3 has computed."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.found = self.model.rollout_buffer.advantages.T.ravel().astype(np.float64)


@pytest.mark.parametrize(("success", "share"), [(0.0, 0.0), (1.0, 0.5)])
@pytest.mark.parametrize("normalize", [True, False])
def test_one_step_by_hand(success: float, share: float, normalize: bool) -> None:
    advantages = Advantages()
    model = make(
        paying(success),
        policy_kwargs={"optimizer_class": th.optim.SGD},
        n_epochs=1,
        batch_size=2 * N_STEPS,
        max_grad_norm=1e9,
        learning_rate=0.1,
        imitation_coef=3.0,
        normalize_advantage=normalize,
    )
    by_hand = deepcopy(model.policy).double()
    model.learn(2 * N_STEPS, callback=advantages)
    buffer, found = model.rollout_buffer, advantages.found
    # an episode is cut off, which SB3 answers with a value of its own
    assert len(np.unique(buffer.rewards)) > 1 + share
    assert model.logger.name_to_value["train/rewarded_share"] == share

    rows = (buffer.observations, buffer.actions, buffer.labels_in_present_order())
    observations, actions, labels = (th.as_tensor(array.reshape(2 * N_STEPS, -1), dtype=th.float64) for array in rows)
    if normalize:
        found = (found - found.mean()) / found.std()
    means = by_hand.action_net(by_hand.mlp_extractor.forward_actor(observations))
    log_prob = th.distributions.Normal(means, by_hand.log_std.exp()).log_prob(actions).sum(dim=1)
    (-(share * th.as_tensor(found) * log_prob).mean() + 3.0 * ((means - labels) ** 2).mean()).backward()
    for name, before in by_hand.named_parameters():
        if "value" not in name:
            assert before.grad is not None
            after = (before - 0.1 * before.grad).detach().numpy()
            np.testing.assert_allclose(model.policy.get_parameter(name).detach(), after, atol=2e-6, err_msg=name)
    assert (model.policy.log_std.abs().max() == 0.0) == (share == 0.0)


@pytest.mark.parametrize("fast", [None, False])
@pytest.mark.parametrize("waits", [True, False])
def test_ppos_noise_is_left_out_on_either_path(fast: bool | None, waits: bool) -> None:
    model = make(paying(0.0), fast=fast, wait_for_reward=waits).learn(4 * N_STEPS)
    logged = model.logger.name_to_value
    # nothing but PPO's policy loss moves the standard deviation
    assert (model.policy.log_std.abs().max() == 0.0) == waits
    assert (logged["train/policy_gradient_loss"] == 0.0) == waits
    assert logged.get("train/rewarded_share") == (0.0 if waits else None)
    assert logged["train/value_loss"] > 0.0


@pytest.mark.parametrize("success", [0.0, 1.0])
def test_both_paths_train_alike(success: float) -> None:
    fast, plain = (parameters(make(paying(success), fast=fast).learn(4 * N_STEPS)) for fast in (None, False))
    np.testing.assert_allclose(fast, plain, atol=1e-5)


@pytest.mark.parametrize("fast", [None, False])
def test_with_a_dense_reward_nothing_changes_to_the_last_bit(fast: bool | None) -> None:
    waiting = make(fast=fast).learn(4 * N_STEPS)
    np.testing.assert_array_equal(parameters(waiting), parameters(make(fast=fast, wait_for_reward=False).learn(4 * N_STEPS)))
    assert waiting.logger.name_to_value["train/rewarded_share"] == 1.0


def test_nothing_is_learned_of_the_teachers_error_without_a_reward() -> None:
    debiasing = LabelDebiasing(start=0.0)
    make(paying(0.0), label_debiasing=debiasing).learn(2 * N_STEPS)
    assert debiasing.bias is not None
    assert debiasing.gain is not None
    assert not debiasing.bias.any()
    assert not debiasing.gain.any()


@pytest.mark.parametrize("waits", [True, False])
def test_the_teachers_error_is_learned_of_from_episodes_with_a_reward_by_hand(waits: bool) -> None:
    advantages, debiasing = Advantages(), LabelDebiasing(step_size=0.1, gain_step_size=0.2, start=0.0)
    model = make(paying(1.0), label_debiasing=debiasing, wait_for_reward=waits)
    policy = deepcopy(model.policy).double()
    model.learn(2 * N_STEPS, callback=advantages)
    buffer = model.rollout_buffer

    observations, actions = (array.reshape(2 * N_STEPS, -1) for array in (buffer.observations, buffer.actions))
    with th.no_grad():
        means = policy.action_net(policy.mlp_extractor.forward_actor(th.as_tensor(observations, dtype=th.float64))).numpy()
    # a new policy's standard deviation is 1
    weights = (advantages.found - advantages.found.mean()) / advantages.found.std()
    gradients = weights[:, None] * (actions - means)
    if waits:
        # environment after environment: the first episode of each is cut off without a reward
        gradients = gradients * np.tile([False] * 7 + [True] * 5, 2)[:, None]
    answers = scripted_teacher(BOX)(observations)
    half_width = (BOX.high - BOX.low) / 2
    # one of two episodes succeeds
    gradients = 0.5 * gradients
    gain = 0.2 * (gradients * (answers - answers.mean(axis=0)) / half_width).mean(axis=0)
    np.testing.assert_allclose(debiasing.gain, gain, rtol=1e-4)
    bias = 0.1 * gradients.mean(axis=0) * half_width - gain * answers.mean(axis=0)
    np.testing.assert_allclose(debiasing.bias, bias, rtol=1e-4)


@pytest.mark.parametrize("bonus", [0.0, 1.0])
def test_rewards_of_a_callback_count(bonus: float) -> None:
    def add(locals_: dict[str, Any], globals_: dict[str, Any]) -> bool:
        locals_["rewards"][0] += bonus
        return True

    model = make(paying(0.0)).learn(4 * N_STEPS, callback=add)
    assert model.logger.name_to_value["train/rewarded_share"] == bonus


def test_without_imitation_it_is_ppo() -> None:
    # nothing is there to follow meanwhile
    model = make(paying(0.0), imitation_coef=0.0).learn(4 * N_STEPS)
    same = make(paying(0.0), imitation_coef=0.0, wait_for_reward=False).learn(4 * N_STEPS)
    assert "train/rewarded_share" not in model.logger.name_to_value
    np.testing.assert_array_equal(parameters(model), parameters(same))


@pytest.mark.parametrize(
    ("make_model", "env_class", "policy", "action_space"),
    [(RecurrentRPD, SpacesEnv, "MlpLstmPolicy", BOX), (MaskableRPD, MaskedEnv, "MlpPolicy", ACTION_SPACES["discrete"])],
)
def test_recurrent_and_masked_students_wait_too(
    make_model: type[RPD], env_class: type[SpacesEnv], policy: str, action_space: Any
) -> None:
    model = make(paying(0.0, env_class), make_model, policy, action_space=action_space).learn(4 * N_STEPS)
    assert model.logger.name_to_value["train/rewarded_share"] == 0.0
    assert model.logger.name_to_value["train/policy_gradient_loss"] == 0.0


def test_it_is_saved_with_the_student(tmp_path: Any) -> None:
    make().save(tmp_path / "student")
    assert RPD.load(tmp_path / "student").wait_for_reward

"""What becomes of a rollout's labels: kept as the teacher gave them, corrected, imitated, and imitated once more."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, DICT_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.schedules import LinearCoef

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]


def make(policy: str = "MlpPolicy", observation_space: spaces.Space | None = None, **kwargs: Any) -> RPD:
    env = make_vec_env(lambda: SpacesEnv(BOX, observation_space), n_envs=2, seed=0)
    settings: dict[str, Any] = {"n_steps": 12, "batch_size": 8, "n_epochs": 1, "seed": 0, "teacher": scripted_teacher(BOX)}
    return RPD(policy, env, **settings | kwargs)


class Recording(LabelMemory):
    """Keeps what it was given and what it was asked."""

    def add(self, buffer: Any) -> None:
        self.given = buffer.teacher_actions.copy()
        super().add(buffer)

    def imitate(self, *args: Any, **kwargs: Any) -> Any:
        self.asked = kwargs
        self.policy_weights = args[0].action_net.weight.detach().clone()
        return super().imitate(*args, **kwargs)


@pytest.mark.parametrize("fast", [None, False])
@pytest.mark.parametrize(("policy", "observation_space"), [("MlpPolicy", None), ("MultiInputPolicy", DICT_SPACE)])
def test_the_teachers_own_labels_are_kept_and_corrected_ones_imitated(
    policy: str, observation_space: spaces.Space | None, fast: bool | None
) -> None:
    memory, debiasing = Recording(minibatches=9, batch_size=8), LabelDebiasing(step_size=1.0, start=0.0)
    model = make(
        policy,
        observation_space,
        label_fraction=0.6,
        imitation_coef=LinearCoef(2.0, 0.0),
        label_memory=memory,
        label_debiasing=debiasing,
        fast=fast,
    )
    model.learn(48)
    labels = memory.given[~np.isnan(memory.given).any(axis=2)]
    assert not np.allclose(model.rollout_buffer.teacher_actions, memory.given, equal_nan=True)
    np.testing.assert_array_equal(memory.asked["correct"](labels), debiasing.correct(labels, BOX))
    # The second of two iterations begins at half of the training
    assert memory.asked["imitation_coef"] == pytest.approx(1.0)
    assert memory.asked["success_rate"] == pytest.approx(np.mean(model.ep_success_buffer))
    share = model.rollout_buffer.labeled_fraction()
    assert 0.3 < share < 0.9
    n_minibatches = round(9 * share**2 * 0.5 * (1.0 - memory.asked["success_rate"]) ** 2)
    assert model.logger.name_to_value["train/memory_minibatches"] == n_minibatches
    assert ("train/memory_loss" in model.logger.name_to_value) == (n_minibatches > 0)


def test_the_memory_comes_after_the_training_on_the_rollout() -> None:
    memory = Recording(minibatches=40, batch_size=8)
    remembering, without = make(label_memory=memory).learn(24), make().learn(24)
    np.testing.assert_array_equal(memory.policy_weights, without.policy.action_net.weight.detach())
    assert not np.array_equal(remembering.policy.action_net.weight.detach(), memory.policy_weights)


@pytest.mark.parametrize("goes_on", [False, True])
def test_a_new_training_begins_anew_with_both_and_a_continued_one_with_neither(goes_on: bool) -> None:
    memory, debiasing = LabelMemory(minibatches=1), LabelDebiasing(start=0.0)
    model = make(label_memory=memory, label_debiasing=debiasing).learn(48)
    learned = debiasing.bias
    assert len(memory) == 48
    assert learned is not None
    seen = []

    def before_the_first_training(locals_: dict[str, Any], globals_: dict[str, Any]) -> bool:
        seen.append((len(memory), debiasing.bias))
        return True

    model.learn(24, callback=before_the_first_training, reset_num_timesteps=not goes_on)
    n_kept, bias = seen[0]
    assert n_kept == (48 if goes_on else 0)
    assert bias is (learned if goes_on else None)


def test_what_does_not_fit_is_refused_before_the_environments_are_touched() -> None:
    discrete = ACTION_SPACES["discrete"]
    env = make_vec_env(lambda: SpacesEnv(discrete), n_envs=1)
    model = RPD("MlpPolicy", env, teacher=scripted_teacher(discrete), n_steps=8, batch_size=8)
    model.label_debiasing = LabelDebiasing()
    with pytest.raises(ValueError, match="LabelDebiasing moves the mean of a Gaussian policy"):
        model.learn(8)
    assert model._last_obs is None

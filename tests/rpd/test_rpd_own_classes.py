"""Buffers and rollouts of the user's own: they work, or training does not begin; never another state's label."""

from typing import Any

import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import DictRolloutBuffer, RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import NamingTeacher, naming_env

from sb3_rpd import RPD, TeacherError
from sb3_rpd.common.buffers import TeacherLabelsMixin

N_STEPS, N_ENVS = 8, 3
pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


class Audited(RPD):
    """Compares each row of each minibatch with its label."""

    rows = 0

    def _evaluate(self, batch: Any) -> Any:
        observations = batch.observations["vector"] if isinstance(batch.observations, dict) else batch.observations
        labels = batch.teacher_labels
        np.testing.assert_array_equal(labels.actions[labels.labeled], observations[labels.labeled])
        self.rows += int(labels.labeled.sum())
        return super()._evaluate(batch)


def make_model(algorithm: type[RPD] = Audited, kind: str = "vector", **kwargs: Any) -> Any:
    env = DummyVecEnv([naming_env(index, kind) for index in range(N_ENVS)])
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": 8, "n_epochs": 1, "device": "cpu", "seed": 0}
    arguments |= {"teacher": NamingTeacher(), "imitation_coef": 1e-6, "learning_rate": 1e-5}
    arguments["policy_kwargs"] = {"net_arch": [4], "normalize_images": False}
    return algorithm("MlpPolicy" if kind == "vector" else "MultiInputPolicy", env, **(arguments | kwargs))


@pytest.mark.parametrize(("kind", "buffer_class"), [("vector", RolloutBuffer), ("dict", DictRolloutBuffer)])
def test_plain_buffer_in_place_of_the_models(kind: str, buffer_class: type[RolloutBuffer]) -> None:
    """As many do to change ``n_steps``; it stays the object that it is."""
    model = make_model(kind=kind)
    model.learn(N_STEPS * N_ENVS)
    model.n_steps = 4
    own = model.rollout_buffer = buffer_class(
        4, model.observation_space, model.action_space, "cpu", model.gae_lambda, model.gamma, N_ENVS
    )
    model.learn(2 * 4 * N_ENVS, reset_num_timesteps=False)
    assert model.rollout_buffer is own
    assert isinstance(own, buffer_class)
    assert model.rows == (N_STEPS + 8) * N_ENVS

    assert model.rollout_buffer.labeled_fraction() == 1.0


def test_other_size_of_the_same_buffer() -> None:
    model = make_model()
    model.n_steps = model.rollout_buffer.buffer_size = 5
    model.rollout_buffer.reset()
    model.learn(10 * N_ENVS)
    assert model.rows == 10 * N_ENVS


@pytest.mark.filterwarnings("ignore:RPD has no teacher")
@pytest.mark.parametrize("arguments", [{"teacher": None}, {"imitation_coef": 0.0}])
def test_plain_buffer_where_nothing_is_imitated(arguments: dict[str, Any]) -> None:
    model = make_model(RPD, **arguments)
    model.rollout_buffer = RolloutBuffer(N_STEPS, model.observation_space, model.action_space, "cpu", n_envs=N_ENVS)
    model.learn(2 * N_STEPS * N_ENVS)
    assert type(model.rollout_buffer) is RolloutBuffer


class Permuted(RolloutBuffer):
    """Picks entries in an order of its own."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        return super()._get_samples((batch_inds * 5 + 2) % (self.buffer_size * self.n_envs), env)


class PermutedWithLabels(TeacherLabelsMixin):
    """The same, as the error advises."""

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> Any:
        return super()._get_samples((batch_inds * 5 + 2) % (self.buffer_size * self.n_envs), env)


def test_buffer_with_an_order_of_its_own_is_refused_before_the_first_rollout() -> None:
    model = make_model(rollout_buffer_class=Permuted)
    with pytest.raises(
        TeacherError, match=r"rollout buffer Permuted .*inherit from sb3_rpd\.common\.buffers\.TeacherLabelsMixin"
    ):
        model.learn(N_STEPS * N_ENVS)
    assert model.num_timesteps == 0
    model = make_model()
    model.rollout_buffer = Permuted(N_STEPS, model.observation_space, model.action_space, "cpu", n_envs=N_ENVS)
    with pytest.raises(TeacherError, match="rollout buffer Permuted"):
        model.learn(N_STEPS * N_ENVS)
    assert model.num_timesteps == 0


def test_buffer_that_follows_the_advice() -> None:
    model = make_model(rollout_buffer_class=PermutedWithLabels)
    model.learn(2 * N_STEPS * N_ENVS)
    assert model.rows == 2 * N_STEPS * N_ENVS


# ---------------------------------------------------------------- rollouts of the user's own


class OwnRollouts(RPD):
    """Collects by itself."""

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
        return OnPolicyAlgorithm.collect_rollouts(self, *args, **kwargs)


class OwnEnding(Audited):
    """Does something after each rollout."""

    endings = 0

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> bool:
        result = super().collect_rollouts(*args, **kwargs)
        self.endings += 1
        return result


def test_own_rollouts_that_would_get_no_labels_are_refused_before_the_first_step() -> None:
    model = make_model(OwnRollouts)
    message = r"OwnRollouts has a collect_rollouts\(\) of its own.*super\(\)\.collect_rollouts.*imitation_coef=0\.0"
    with pytest.raises(TeacherError, match=message):
        model.learn(N_STEPS * N_ENVS)
    assert model.num_timesteps == 0
    model = make_model(RPD)
    model.collect_rollouts = lambda *args, **kwargs: PPO.collect_rollouts(model, *args, **kwargs)
    with pytest.raises(TeacherError, match=r"RPD has a collect_rollouts\(\) of its own"):
        model.learn(N_STEPS * N_ENVS)
    assert model.num_timesteps == 0


@pytest.mark.filterwarnings("ignore:RPD has no teacher")
@pytest.mark.parametrize("arguments", [{"teacher": None}, {"imitation_coef": 0.0}])
def test_own_rollouts_where_nothing_is_imitated(arguments: dict[str, Any]) -> None:
    assert make_model(OwnRollouts, **arguments).learn(N_STEPS * N_ENVS).num_timesteps == N_STEPS * N_ENVS


class CountsSteps(BaseCallback):
    """Counts the steps of the environments."""

    def _on_step(self) -> bool:
        return True


@pytest.mark.parametrize("kind", ["none", "object", "list", "function"])
def test_own_rollouts_that_call_rpds_are_labeled_whatever_the_callback(kind: str) -> None:
    model = make_model(OwnEnding)
    callbacks, calls = [CountsSteps(), CountsSteps()], []
    given: Any = {
        "none": None,
        "object": callbacks[0],
        "list": callbacks,
        "function": lambda local_variables, global_variables: calls.append(local_variables["n_steps"]) or True,
    }[kind]
    model.learn(2 * N_STEPS * N_ENVS, callback=given)
    assert model.endings == 2
    assert model.rows == 2 * N_STEPS * N_ENVS
    counted = [callback.n_calls for callback in callbacks] + [len(calls)]
    once = 2 * N_STEPS
    assert counted == {"none": [0, 0, 0], "object": [once, 0, 0], "list": [once, once, 0], "function": [0, 0, once]}[kind]

"""Modules of students: which there are none of, and the policy as it was before."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from sb3_contrib import MaskablePPO, RecurrentPPO
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_envs import ACTION_SPACES, MaskedEnv, SpacesEnv

from sb3_rpd.common.errors import ExportError
from sb3_rpd.export.raw_observations import RawObservations
from sb3_rpd.export.student_modules import make_student_module, ready_to_act


def test_a_student_that_is_told_what_is_forbidden_has_none() -> None:
    env = DummyVecEnv([lambda: MaskedEnv(ACTION_SPACES["discrete"])])
    masked = MaskablePPO("MlpPolicy", env, n_steps=8, batch_size=8, device="cpu")
    with pytest.raises(ExportError, match="MaskablePPO acts by masks"):
        make_student_module(masked, RawObservations(masked, None, None))


@pytest.mark.parametrize("name", ["hidden_state", "cell_state", "episode_start"])
def test_an_observation_and_the_state_have_different_names(name: str) -> None:
    space = spaces.Dict({"image": spaces.Discrete(3), name: spaces.Box(-1.0, 1.0, (2,))})
    env = DummyVecEnv([lambda: SpacesEnv(ACTION_SPACES["box"], space)])
    model = RecurrentPPO(
        "MultiInputLstmPolicy", env, n_steps=8, batch_size=8, device="cpu", policy_kwargs={"lstm_hidden_size": 4}
    )
    with pytest.raises(ExportError, match=f"has an entry called '{name}', as the LSTM's state is: rename it"):
        make_student_module(model, RawObservations(model, None, None))
    # a student without a memory takes it
    plain = PPO("MultiInputPolicy", env, n_steps=8, batch_size=8, device="cpu")
    raw = {"image": th.tensor([2]), name: th.tensor([[0.5, -0.5]])}
    with ready_to_act(plain.policy), th.no_grad():
        action = make_student_module(plain, RawObservations(plain, None, None))(raw)["action"]
    expected = plain.predict({entry: tensor.numpy() for entry, tensor in raw.items()}, deterministic=True)[0]
    np.testing.assert_allclose(action, expected, atol=1e-6)


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("checks", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_policy_is_left_as_it_was(training: bool, checks: bool, fails: bool) -> None:
    policy = PPO(
        "MlpPolicy", DummyVecEnv([lambda: SpacesEnv(ACTION_SPACES["box"])]), n_steps=8, batch_size=8, device="cpu"
    ).policy
    policy.set_training_mode(training)
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    validated = th.distributions.Distribution._validate_args
    th.distributions.Distribution.set_default_validate_args(checks)
    try:
        try:
            with ready_to_act(policy):
                assert (policy.training, th.distributions.Distribution._validate_args) == (False, False)
                if fails:
                    raise ExportError
        except ExportError:
            assert fails
        assert (policy.training, th.distributions.Distribution._validate_args) == (training, checks)
    finally:
        th.distributions.Distribution.set_default_validate_args(validated)
    for name, value in policy.state_dict().items():
        assert th.equal(value, before[name])

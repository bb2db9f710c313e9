"""The policies under the names that users of SB3 know, with those of PPO behind them."""

import pytest
from stable_baselines3.ppo import policies as of_ppo
from toy_coefficients import make_env

from sb3_rpd import RPD
from sb3_rpd.rpd import policies


@pytest.mark.parametrize("name", ["MlpPolicy", "CnnPolicy", "MultiInputPolicy"])
def test_they_are_those_of_ppo(name: str) -> None:
    assert getattr(policies, name) is getattr(of_ppo, name)
    assert RPD.policy_aliases[name] is getattr(policies, name)


def test_a_class_is_as_good_as_its_name() -> None:
    assert type(RPD(policies.MlpPolicy, make_env(), n_steps=8, batch_size=8).policy) is of_ppo.MlpPolicy

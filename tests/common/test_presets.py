"""Settings to begin with: what they are, and that each model gets its own."""

import pytest
from stable_baselines3.common.env_util import make_vec_env

from sb3_rpd import RPD, recommended
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.schedules import TrainingProgress


@pytest.mark.parametrize(
    ("arguments", "expected"), [((2.0,), [2.0, 1.1, 0.2]), ((2.0, 0.5), [2.0, 1.25, 0.5]), ((2.0, 0.0), [2.0, 1.0, 0.0])]
)
def test_the_coefficient_goes_down(arguments: tuple[float, ...], expected: list[float]) -> None:
    coef = recommended(*arguments)["imitation_coef"]
    assert [coef(TrainingProgress(remaining, 0, None, None)) for remaining in (1.0, 0.5, 0.0)] == pytest.approx(expected)


def test_each_model_has_its_own() -> None:
    first, second = recommended(), recommended()
    assert first == second
    assert all(first[name] is not second[name] for name in ("imitation_coef", "label_debiasing", "label_memory"))


def test_they_are_arguments_of_rpd() -> None:
    env = make_vec_env("Pendulum-v1", n_envs=2)
    model = RPD("MlpPolicy", env, teacher=lambda seen: seen[:, :1], n_steps=8, batch_size=16, **recommended())
    model.learn(16)
    assert isinstance(model.label_debiasing, LabelDebiasing)
    assert model.label_debiasing.bias is not None
    assert isinstance(model.label_memory, LabelMemory)
    assert len(model.label_memory) == 16
    assert model.wait_for_reward

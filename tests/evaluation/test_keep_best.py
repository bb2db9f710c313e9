"""KeepBest: which policy is kept, that a training does not notice, and what restore() brings back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, SpacesEnv

from sb3_rpd.evaluation import KeepBest, TeacherEvaluation, keep_best
from sb3_rpd.teachers import SB3Teacher

SETTINGS: dict[str, Any] = dict(n_steps=16, batch_size=16, n_epochs=1, seed=0, device="cpu")
#: What a VecNormalize around the training normalizes.
OBSERVATIONS, REWARDS = {"norm_reward": False}, {"norm_obs": False}


def toy_env() -> SpacesEnv:
    return SpacesEnv(ACTION_SPACES["box"])


def make_model(normalize: dict[str, bool] | None = OBSERVATIONS) -> PPO:
    env = make_vec_env(toy_env, 2, seed=0)
    return PPO("MlpPolicy", env if normalize is None else VecNormalize(env, **normalize), **SETTINGS)


def observation_mean(vec_normalize: VecNormalize | None) -> np.ndarray | None:
    return vec_normalize.obs_rms.mean.copy() if vec_normalize is not None and vec_normalize.norm_obs else None


def parameters(model: PPO) -> dict[str, th.Tensor]:
    return {name: value.clone() for name, value in model.policy.state_dict().items()}


def outcome(successes: int, mean_return: float) -> TeacherEvaluation:
    return TeacherEvaluation(10, successes, mean_return, 5.0)


class Scripted:
    """Stands in for ``evaluate_teacher``: gives outcomes in turn, and remembers parameters and statistics at each."""

    def __init__(self, model: PPO, outcomes: list[TeacherEvaluation]) -> None:
        self.model, self.outcomes = model, iter(outcomes)
        self.seen: list[tuple[dict[str, th.Tensor], np.ndarray | None]] = []

    def __call__(self, teacher: SB3Teacher, *args: Any, **kwargs: Any) -> TeacherEvaluation:
        self.seen.append((parameters(self.model), observation_mean(teacher.vec_normalize)))
        return next(self.outcomes)


@pytest.mark.parametrize("normalize", [OBSERVATIONS, REWARDS, None])
@pytest.mark.parametrize(
    ("outcomes", "best"),
    [
        ([outcome(1, 0.0), outcome(3, 1.0), outcome(2, 9.0)], 1),  # successes count first,
        ([outcome(2, 5.0), outcome(2, 4.0), outcome(1, 9.0)], 0),  # then the return,
        ([outcome(2, 5.0), outcome(1, 9.0), outcome(2, 5.0)], 2),  # and of equal ones the later
    ],
)
def test_best_policy_and_its_statistics_come_back(
    outcomes: list[TeacherEvaluation], best: int, normalize: dict[str, bool] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(normalize)
    scripted = Scripted(model, outcomes)
    monkeypatch.setattr(keep_best, "evaluate_teacher", scripted)
    callback = KeepBest(DummyVecEnv([toy_env]), every=32)
    model.learn(3 * 32, callback=callback)

    # one rollout has 32 steps: after the first, after the second, and at the end after the third
    assert [steps for steps, _ in callback.evaluations] == [32, 64, 96]
    assert [evaluation for _, evaluation in callback.evaluations] == outcomes
    assert callback.best == ((best + 1) * 32, outcomes[best])
    callback.restore()
    wanted, mean = scripted.seen[best]
    for name, value in model.policy.state_dict().items():
        assert th.equal(value, wanted[name])
    assert (mean is not None) == (normalize is OBSERVATIONS)
    np.testing.assert_array_equal(observation_mean(model.get_vec_normalize_env()), mean)


def test_training_does_not_notice() -> None:
    # A model seeds the process's generators when it is made
    plain = make_model().learn(96)
    kept = make_model().learn(96, callback=KeepBest(DummyVecEnv([toy_env]), every=32, n_episodes=3))
    for name, value in plain.policy.state_dict().items():
        assert th.equal(value, kept.policy.state_dict()[name])


def test_evaluations_are_of_the_same_episodes_and_at_most_every_so_often() -> None:
    model = make_model(None)
    callback = KeepBest(DummyVecEnv([toy_env]), every=50, n_episodes=4)
    model.learn(5 * 32, callback=callback)
    assert [steps for steps, _ in callback.evaluations] == [64, 128, 160]
    # in this environment every other episode is a success, whoever acts
    assert [evaluation.successes for _, evaluation in callback.evaluations] == [2, 2, 2]
    callback.restore()


def test_without_successes_the_return_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model()
    outcomes = [TeacherEvaluation(10, None, mean_return, 5.0) for mean_return in (-3.0, -1.0, -2.0)]
    monkeypatch.setattr(keep_best, "evaluate_teacher", Scripted(model, outcomes))
    callback = KeepBest(DummyVecEnv([toy_env]), every=32)
    model.learn(3 * 32, callback=callback)
    assert callback.best == (64, outcomes[1])
    assert "eval/success_rate" not in model.logger.name_to_value


def test_what_was_found_goes_on_in_another_callback(tmp_path: Path) -> None:
    model = make_model()
    first = KeepBest(DummyVecEnv([toy_env]), every=32, n_episodes=4)
    model.learn(64, callback=first)
    first.save(tmp_path / "keep_best.pkl")
    kept = parameters(model) if first.best[0] == 64 else None

    second = KeepBest(DummyVecEnv([toy_env]), every=1_000, n_episodes=4)
    second.load(tmp_path / "keep_best.pkl")
    assert second.evaluations == first.evaluations
    assert second.best == first.best
    other = make_model()
    second.init_callback(other)
    second.restore()
    first.restore()
    for name, value in parameters(other).items():
        assert th.equal(value, parameters(model)[name])
        assert kept is None or th.equal(value, kept[name])


def test_refusals() -> None:
    with pytest.raises(ValueError, match="every=0"):
        KeepBest(DummyVecEnv([toy_env]), every=0)
    callback = KeepBest(DummyVecEnv([toy_env]), every=1)
    for use in (callback.restore, lambda: callback.best):
        with pytest.raises(ValueError, match=r"call learn\(\) first"):
            use()

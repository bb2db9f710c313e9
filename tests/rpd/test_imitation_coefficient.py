"""The imitation coefficient of each rollout: schedules, gates and functions, resumed, reset and changed while training."""

import pathlib
from typing import Any

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv
from toy_coefficients import BOX, N_STEPS, CoefRecorder, Countdown, make_env, make_model
from toy_envs import SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.common.gates import QDaggerGate, RewardTrendGate, SuccessGate
from sb3_rpd.common.schedules import CoefSchedule, CosineCoef, TrainingProgress

SCHEDULES: dict[str, tuple[Any, list[float]]] = {
    "cosine_by_progress": (CosineCoef(1.0, 0.0), [1.0, 0.9330127, 0.75, 0.5, 0.25, 0.0669873]),
    "cosine_by_steps": (CosineCoef(2.0, 0.0, timesteps=4 * N_STEPS), [2.0, 1.7071068, 1.0, 0.2928932, 0.0, 0.0]),
    "sb3_schedule": (lambda left: left, [1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
    "own_state": (Countdown, [1.0, 1.0, 1.0, 0.0, 0.0, 0.0]),
    "number": (0.3, [0.3] * 6),
}


@pytest.mark.parametrize("stop_after", [2, 4])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_resumed_run_goes_on_with_the_schedule(schedule: str, stop_after: int, tmp_path: pathlib.Path) -> None:
    make_coef, expected = SCHEDULES[schedule]
    coef = make_coef() if isinstance(make_coef, type) else make_coef
    whole = CoefRecorder()
    make_model(imitation_coef=coef).learn(6 * N_STEPS, callback=whole)
    assert whole.coefs == pytest.approx(expected)

    first = CheckpointCallback(stop_after * N_STEPS, str(tmp_path), "student")
    coef = make_coef() if isinstance(make_coef, type) else make_coef
    make_model(imitation_coef=coef).learn(6 * N_STEPS, callback=[first, CoefRecorder(stop_after)])
    path = tmp_path / f"student_{stop_after * N_STEPS}_steps"
    resumed = RPD.load(path, env=make_env(), teacher=scripted_teacher(BOX))
    second = CoefRecorder()
    resumed.learn((6 - stop_after) * N_STEPS, callback=second, reset_num_timesteps=False)
    assert second.coefs == pytest.approx(expected[stop_after:])


def test_gate_that_was_shut_stays_shut_after_resuming(tmp_path: pathlib.Path) -> None:
    model = make_model(imitation_coef=RewardTrendGate(window=2, threshold=1e9, patience=1, coef=0.7))
    recorder = CoefRecorder()
    model.learn(N_STEPS, callback=recorder)
    for _ in range(3):
        model.imitation_coef(TrainingProgress(1.0, 0, success_rate=None, mean_return=1.0))
    model.save(tmp_path / "model.zip")
    loaded = RPD.load(tmp_path / "model.zip", env=make_env(), teacher=scripted_teacher(BOX))
    loaded.learn(N_STEPS, callback=recorder, reset_num_timesteps=False)
    assert recorder.coefs == [0.7, 0.0]
    # A run that begins anew begins with an open gate
    loaded.learn(N_STEPS, callback=recorder)
    assert recorder.coefs == [0.7, 0.0, 0.7]


def test_schedule_that_can_be_reset_begins_anew_with_each_run() -> None:
    class Restarting(Countdown):
        def reset(self) -> None:
            self.calls_left = 3

    recorder = CoefRecorder()
    coef = Restarting()
    for model in (make_model(imitation_coef=coef), make_model(imitation_coef=SuccessGate(1.0, coef=coef))):
        model.learn(2 * N_STEPS, callback=recorder)
        model.learn(2 * N_STEPS, callback=recorder, reset_num_timesteps=False)
    assert recorder.coefs == [1.0, 1.0, 1.0, 0.0] * 2
    # Without a reset the object goes on, in this model and in another one, as one of the learning rate would
    recorder, coef = CoefRecorder(), Countdown()
    for _ in range(2):
        make_model(imitation_coef=coef).learn(2 * N_STEPS, callback=recorder)
    assert recorder.coefs == [1.0, 1.0, 1.0, 0.0]


class Planner(BaseCallback):
    """Decides at the end of each rollout about the coefficient of the next one."""

    def _init_callback(self) -> None:
        self.coef = 0.5

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self.coef /= 2

    def plan(self, progress_remaining: float) -> float:
        return self.coef


@pytest.mark.slow
@pytest.mark.parametrize("vec_env", [DummyVecEnv, SubprocVecEnv])
def test_bound_method_of_a_callback_is_followed(vec_env: type[VecEnv], tmp_path: pathlib.Path) -> None:
    env = vec_env([lambda: SpacesEnv(BOX)] * 2)
    try:
        recorder, planner = CoefRecorder(), Planner()
        model = make_model(env, imitation_coef=planner.plan)
        model.learn(6 * N_STEPS, callback=[planner, recorder])
        assert recorder.coefs == [0.5, 0.25, 0.125]
        # It would take the model and its environments along
        with pytest.warns(
            UserWarning, match=r"Planner.plan.* is not saved .*it holds a .*load\(path, imitation_coef=\.\.\.\)"
        ):
            model.save(tmp_path / "model.zip")
        env.reset()
    finally:
        env.close()
    with pytest.raises(RuntimeError, match=r"could not be saved.*load\(path, imitation_coef=\.\.\.\)"):
        RPD.load(tmp_path / "model.zip")
    assert RPD.load(tmp_path / "model.zip", imitation_coef=0.3).imitation_coef == 0.3
    assert PPO.load(tmp_path / "model.zip").num_timesteps == 6 * N_STEPS


class Sets(BaseCallback):
    """Changes attributes of an object at the beginning of the second rollout."""

    def __init__(self, target: Any, **attributes: Any) -> None:
        super().__init__()
        self.target = target
        self.attributes = attributes

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        for name, value in self.attributes.items():
            setattr(self.target, name, value)


class Adjustable(CoefSchedule):
    value = 1.0

    def __call__(self, training: TrainingProgress) -> float:
        return self.value


ADJUSTABLE: dict[str, tuple[Any, dict[str, Any], float]] = {
    "own": (Adjustable(), {"value": 0.25}, 0.25),
    "gate": (SuccessGate(1.0), {"coef": 0.125}, 0.125),
    "gate_that_is_shut_by_hand": (RewardTrendGate(), {"is_shut": True}, 0.0),
    "gate_around_an_own_one": (QDaggerGate(1e9, coef=lambda left: 1.0), {"coef": lambda left: 0.5}, 0.5),
}


@pytest.mark.parametrize("case", ADJUSTABLE)
def test_what_a_callback_changes_about_a_schedule_counts_from_the_next_rollout_on(case: str) -> None:
    coef, attributes, expected = ADJUSTABLE[case]
    recorder = CoefRecorder()
    make_model(imitation_coef=coef).learn(3 * N_STEPS, callback=[Sets(coef, **attributes), recorder])
    assert recorder.coefs == pytest.approx([1.0, expected, expected], abs=1e-6)


def test_function_is_not_called_before_training() -> None:
    calls: list[float] = []
    model = make_model(imitation_coef=lambda left: calls.append(left) or 1.0)
    assert calls == []
    model.learn(2 * N_STEPS)
    assert calls == [1.0, 0.5]


def test_changed_coefficient_counts_from_the_next_learn_on() -> None:
    model = make_model(imitation_coef=Countdown())
    recorder = CoefRecorder()
    model.learn(N_STEPS, callback=recorder)
    model.imitation_coef = 0.25
    model.learn(N_STEPS, callback=recorder, reset_num_timesteps=False)
    assert recorder.coefs == [1.0, 0.25]


@pytest.mark.parametrize("value", [-0.5, float("nan"), float("inf")])
def test_what_is_no_coefficient_is_refused_with_what_it_was_made_of(value: float) -> None:
    coef = Adjustable()
    coef.value = value
    model = make_model(imitation_coef=coef)
    with pytest.raises(ValueError, match=rf"must be finite and >= 0; .*Adjustable.* gave {value} for TrainingProgress\("):
        model.learn(N_STEPS)

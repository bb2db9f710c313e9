"""What is in an archive, who can read it, and how a run goes on from it."""

import io
import json
import pathlib
import sys
import zipfile
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback, CheckpointCallback
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, NamingTeacher, SpacesEnv, naming_env, scripted_teacher
from toy_students import assert_loads_elsewhere

from sb3_rpd import RPD
from sb3_rpd.common.gates import QDaggerGate, RewardTrendGate, SuccessGate
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses import MSE, ImitationLoss
from sb3_rpd.common.schedules import CoefSchedule, CosineCoef, TrainingProgress

BOX = ACTION_SPACES["box"]
N_STEPS = 6
MLP: dict[str, Any] = {"net_arch": [4]}


class Absolute(ImitationLoss):
    """A loss of the user's own."""

    def per_sample(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        return (distribution.mode() - labels.actions).abs().sum(dim=1)


class Countdown(CoefSchedule):
    """A schedule of the user's own, with a state: three calls at 1, then 0 for good."""

    def __init__(self) -> None:
        self.calls_left = 3

    def __call__(self, training: TrainingProgress) -> float:
        self.calls_left -= 1
        return float(self.calls_left >= 0)


def make_env(action_space: spaces.Space = BOX, observation_space: spaces.Space | None = None, n_envs: int = 1) -> DummyVecEnv:
    return DummyVecEnv([lambda: SpacesEnv(action_space, observation_space) for _ in range(n_envs)])


def make_model(env: DummyVecEnv | None = None, policy: str = "MlpPolicy", **kwargs: Any) -> RPD:
    env = make_env() if env is None else env
    teacher = scripted_teacher(env.action_space)
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": N_STEPS, "n_epochs": 1, "seed": 0, "device": "cpu"}
    arguments |= {"policy_kwargs": MLP, "teacher": teacher}
    return RPD(policy, env, **(arguments | kwargs))


class CoefRecorder(BaseCallback):
    """
    Writes down the imitation coefficient of each rollout.

    :param stop_after: After how many rollouts to end training, in the middle of the next one.
    """

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.stop_after = stop_after
        self.coefs: list[float] = []

    def _on_rollout_start(self) -> None:
        self.coefs.append(self.model._current_imitation_coef)

    def _on_step(self) -> bool:
        return self.stop_after is None or len(self.coefs) <= self.stop_after


# ---------------------------------------------------------------- who can read it


@pytest.mark.slow
def test_student_loads_with_plain_ppo_where_this_package_is_not_installed(tmp_path: pathlib.Path) -> None:
    dict_arguments = {"policy": "MultiInputPolicy", "env": make_env(BOX, DICT_SPACE)}
    cnn_kwargs = {"net_arch": [4], "features_extractor_kwargs": {"features_dim": 4}}
    models = {
        "plain": make_model(),
        "own_objects": make_model(imitation_loss=Absolute(), imitation_coef=Countdown()),
        "own_function": make_model(imitation_loss=MSE(weights=(1.0, 0.5)), imitation_coef=lambda left: left),
        "gsde_squashed": make_model(use_sde=True, policy_kwargs={**MLP, "squash_output": True}),
        "dict": make_model(**dict_arguments, policy_kwargs={**MLP, "features_extractor_kwargs": {"cnn_output_dim": 4}}),
        "image": make_model(make_env(ACTION_SPACES["discrete"], IMAGE_SPACE), "CnnPolicy", policy_kwargs=cnn_kwargs),
        "multibinary": make_model(make_env(ACTION_SPACES["multibinary"]), label_fraction=0.5),
    }
    for model in models.values():
        model.learn(N_STEPS)
    assert_loads_elsewhere(models, "stable_baselines3:PPO", tmp_path)


def test_teacher_is_not_in_the_archive(tmp_path: pathlib.Path) -> None:
    """A ``NamingTeacher`` raises when it is pickled."""
    env = DummyVecEnv([naming_env()])
    model = make_model(env, teacher=NamingTeacher()).learn(N_STEPS)
    model.save(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        data = json.loads(archive.read("data"))
    assert "teacher" not in data
    assert not [name for name in data if "labeler" in name or "imitation" in name]
    # A state of numpy's generator, readable whatever numpy reads it
    assert data["rpd_state"]["label_generator"] == model._label_generator.bit_generator.state


def test_ppo_that_loads_a_student_trains_on(tmp_path: pathlib.Path) -> None:
    model = make_model(imitation_loss="l1", imitation_coef=0.25).learn(N_STEPS)
    model.save(tmp_path / "rpd.zip")
    ppo = PPO.load(tmp_path / "rpd.zip", env=make_env())
    ppo.learn(N_STEPS)
    # ... and back: what was RPD's own is still there
    ppo.save(tmp_path / "ppo.zip")
    again = RPD.load(tmp_path / "ppo.zip", env=make_env(), teacher=scripted_teacher(BOX))
    assert (again.imitation_loss, again.imitation_coef) == ("l1", 0.25)
    again.learn(N_STEPS)


def test_archive_of_plain_ppo_gets_the_defaults(tmp_path: pathlib.Path) -> None:
    ppo = PPO("MlpPolicy", make_env(), n_steps=N_STEPS, batch_size=N_STEPS, policy_kwargs=MLP, seed=4)
    ppo.save(tmp_path / "ppo.zip")
    model = RPD.load(tmp_path / "ppo.zip", env=make_env(), teacher=scripted_teacher(BOX))
    assert (model.imitation_loss, model.imitation_coef, model.label_every) == ("auto", 1.0, 1)
    for name, parameter in ppo.policy.state_dict().items():
        assert th.equal(parameter, model.policy.state_dict()[name])
    model.learn(N_STEPS)
    assert model.rollout_buffer.labeled_fraction() == 1.0
    # The choice of labels follows the seed that PPO saved
    assert model._label_generator.random() == np.random.default_rng(4).random()


def test_file_objects_and_checkpoints(tmp_path: pathlib.Path) -> None:
    model = make_model()
    model.learn(2 * N_STEPS, callback=CheckpointCallback(N_STEPS, str(tmp_path), "student"))
    loaded = RPD.load(tmp_path / f"student_{N_STEPS}_steps", env=make_env(), teacher=scripted_teacher(BOX))
    assert loaded.num_timesteps == N_STEPS
    memory = io.BytesIO()
    model.save(memory)
    memory.seek(0)
    for name, parameter in RPD.load(memory).policy.state_dict().items():
        assert th.equal(parameter, model.policy.state_dict()[name])


# ---------------------------------------------------------------- how a run goes on

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


def test_resumed_run_goes_on_with_the_random_choice_of_labels(tmp_path: pathlib.Path) -> None:
    def chosen(model: RPD) -> np.ndarray:
        return ~np.isnan(model.rollout_buffer.teacher_actions).any(axis=2)

    whole = make_model(label_fraction=0.5).learn(N_STEPS)
    whole.save(tmp_path / "model.zip")
    whole.learn(N_STEPS, reset_num_timesteps=False)
    resumed = RPD.load(tmp_path / "model.zip", env=make_env(), teacher=scripted_teacher(BOX))
    assert resumed.label_fraction == 0.5
    resumed.learn(N_STEPS, reset_num_timesteps=False)
    np.testing.assert_array_equal(chosen(whole), chosen(resumed))
    # A new seed is a new choice
    reseeded = RPD.load(tmp_path / "model.zip", seed=123)
    assert reseeded._label_generator.random() == np.random.default_rng(123).random()


def test_what_is_given_to_load_counts(tmp_path: pathlib.Path) -> None:
    model = make_model(imitation_loss="l1", imitation_coef=Countdown(), label_every=2, max_missing_labels=0.1).learn(N_STEPS)
    model.save(tmp_path / "model.zip")
    kept = RPD.load(tmp_path / "model.zip")
    assert (kept.imitation_loss, kept.label_every, kept.max_missing_labels) == ("l1", 2, 0.1)
    assert kept.teacher is None
    teacher = scripted_teacher(BOX)
    changed = RPD.load(tmp_path / "model.zip", env=make_env(), teacher=teacher, imitation_coef=0.5, label_every=3)
    assert (changed.teacher, changed.imitation_coef, changed.label_every) == (teacher, 0.5, 3)
    recorder = CoefRecorder()
    changed.learn(N_STEPS, callback=recorder, reset_num_timesteps=False)
    assert recorder.coefs == [0.5]


def test_custom_objects_count_as_they_do_for_ppos_arguments(tmp_path: pathlib.Path) -> None:
    make_model(imitation_loss="l1", imitation_coef=Countdown()).save(tmp_path / "model.zip")
    objects = {"imitation_coef": 0.25, "imitation_loss": MSE(weights=(1.0, 0.5)), "learning_rate": 1e-5}
    changed = RPD.load(tmp_path / "model.zip", env=make_env(), teacher=scripted_teacher(BOX), custom_objects=objects)
    assert (changed.imitation_coef, changed.imitation_loss, changed.learning_rate) == tuple(objects.values())
    recorder = CoefRecorder()
    changed.learn(2 * N_STEPS, callback=recorder, reset_num_timesteps=False)
    assert recorder.coefs == [0.25, 0.25]
    # A keyword argument goes before a custom object, as in SB3, and one alone leaves the other as it was saved
    assert RPD.load(tmp_path / "model.zip", custom_objects=objects, imitation_coef=0.5).imitation_coef == 0.5
    kept = RPD.load(tmp_path / "model.zip", custom_objects={"imitation_coef": 0.25})
    assert (kept.imitation_coef, kept.imitation_loss) == (0.25, "l1")


def test_custom_object_takes_the_place_of_one_that_is_unknown_here(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(imitation_loss=Absolute()).save(tmp_path / "model.zip")
    monkeypatch.delattr(sys.modules[__name__], "Absolute")
    assert RPD.load(tmp_path / "model.zip", custom_objects={"imitation_loss": "mse"}).imitation_loss == "mse"


def test_archive_with_an_object_that_is_unknown_here_says_what_to_do(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_model(imitation_loss=Absolute()).save(tmp_path / "model.zip")
    monkeypatch.delattr(sys.modules[__name__], "Absolute")
    with pytest.raises(RuntimeError, match=r"imitation_loss in this archive.*load\(path, imitation_loss=\.\.\.\)"):
        RPD.load(tmp_path / "model.zip")
    assert RPD.load(tmp_path / "model.zip", imitation_loss="mse").imitation_loss == "mse"


def test_load_without_a_teacher_trains_as_ppo_and_says_so_once(tmp_path: pathlib.Path) -> None:
    make_model().learn(N_STEPS).save(tmp_path / "model.zip")
    loaded = RPD.load(tmp_path / "model.zip", env=make_env())
    with pytest.warns(UserWarning, match=r"RPD has no teacher.*RPD\.load\(\.\.\., teacher=\.\.\.\)") as caught:
        loaded.learn(N_STEPS).learn(N_STEPS)
    assert len(caught) == 1
    assert caught[0].filename == __file__

"""What is in an archive, who can read it, and how a run goes on from it."""

import io
import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import CheckpointCallback
from stable_baselines3.common.distributions import Distribution
from stable_baselines3.common.vec_env import DummyVecEnv
from toy_coefficients import BOX, MLP, N_STEPS, CoefRecorder, Countdown, make_env, make_model
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, NamingTeacher, naming_env, scripted_teacher
from toy_students import assert_loads_elsewhere

from sb3_rpd import RPD
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses import MSE, ImitationLoss


class Absolute(ImitationLoss):
    """A loss of the user's own."""

    def per_sample(self, distribution: Distribution, labels: TeacherLabels, ratio: th.Tensor, clip_range: float) -> th.Tensor:
        return (distribution.mode() - labels.actions).abs().sum(dim=1)


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

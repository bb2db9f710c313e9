"""Labels where actions are forbidden: those that the mask rules out are missing, and a teacher that takes masks gets them."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from process_teachers import MaskEcho
from sb3_contrib import MaskablePPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from toy_envs import ACTION_SPACES, DICT_SPACE, MaskedEnv, first_columns, masks_for, scripted_teacher
from toy_students import assert_loads_elsewhere

from sb3_rpd import MaskableRPD, TeacherActionWrapper, TeacherError
from sb3_rpd.common.labels import TeacherLabels
from sb3_rpd.common.losses import KL
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.teachers import ProcessTeacher, SB3Teacher

SPACES = {name: ACTION_SPACES[name] for name in ("discrete", "multidiscrete", "multibinary")}
DISCRETE = SPACES["discrete"]
N_STEPS, N_ENVS = 12, 2


def make(
    action_space: spaces.Space = DISCRETE, observation_space: spaces.Space | None = None, env: Any = None, **kwargs: Any
) -> MaskableRPD:
    env = env or make_vec_env(lambda: MaskedEnv(action_space, observation_space), n_envs=N_ENVS, seed=3)
    is_dict = isinstance(env.observation_space, spaces.Dict)
    policy_kwargs: dict[str, Any] = {"net_arch": [6]}
    if is_dict:
        policy_kwargs["features_extractor_kwargs"] = {"cnn_output_dim": 6}
    defaults = {"n_steps": N_STEPS, "batch_size": 8, "n_epochs": 2, "seed": 5, "device": "cpu", "max_missing_labels": 1.0}
    arguments = {"policy": "MultiInputPolicy" if is_dict else "MlpPolicy", "teacher": scripted_teacher(action_space)}
    model = MaskableRPD(env=env, **(defaults | arguments | {"policy_kwargs": policy_kwargs} | kwargs))
    model.set_logger(configure(None, []))
    return model


def train(model: MaskableRPD, iterations: int = 2) -> MaskableRPD:
    return model.learn(iterations * N_STEPS * N_ENVS, log_interval=1000)


def first_numbers_of(model: MaskableRPD) -> np.ndarray:
    """The first number of each observation of the rollout, in the order of training."""
    observations = model.rollout_buffer.observations
    array = observations["state"] if isinstance(observations, dict) else observations
    return array.reshape(N_STEPS * N_ENVS, -1)[:, 0]


def labels_of(model: MaskableRPD) -> np.ndarray:
    labels = model.rollout_buffer.teacher_actions
    return labels.swapaxes(0, 1).reshape(N_STEPS * N_ENVS, -1)


# ---------------------------------------------------------------- forbidden labels


@pytest.mark.filterwarnings("ignore:Labels are missing")
@pytest.mark.parametrize("observation_space", [None, DICT_SPACE], ids=["vector", "dict"])
@pytest.mark.parametrize("space", SPACES)
def test_forbidden_labels_are_missing_and_no_others(space: str, observation_space: spaces.Space | None) -> None:
    action_space = SPACES[space]
    model = train(make(action_space, observation_space))
    numbers = first_numbers_of(model)
    # The teacher looks at the first number alone
    said = scripted_teacher(action_space)(numbers[:, np.newaxis]).reshape(len(numbers), -1)
    masks = masks_for(action_space, numbers)
    is_allowed = np.take_along_axis(masks, said + first_columns(action_space), axis=1).all(axis=1)
    np.testing.assert_array_equal(labels_of(model), np.where(is_allowed[:, np.newaxis], said, np.nan))
    assert 0 < is_allowed.sum() < len(is_allowed)
    logged = model.logger.name_to_value
    assert logged["teacher/missing"] == (~is_allowed).sum()
    assert logged["train/labeled"] == is_allowed.mean()
    # The loss of a forbidden label would be some 1e8
    assert logged["train/imitation_loss"] < 10.0


def test_too_many_forbidden_labels_stop_training_and_say_why(tmp_path: Path) -> None:
    model = make(max_missing_labels=0.1, tensorboard_log=str(tmp_path))
    with (
        pytest.warns(UserWarning, match="it named actions that the environment's action mask forbids"),
        pytest.raises(TeacherError, match=r"labels of this rollout are missing.*action mask forbids"),
    ):
        train(model)


def test_without_masking_nothing_is_forbidden() -> None:
    env = make_vec_env(lambda: Unmasked(DISCRETE), n_envs=N_ENVS, seed=3)
    model = make(env=env, max_missing_labels=0.0)
    model.learn(N_STEPS * N_ENVS, use_masking=False)
    assert model.rollout_buffer.labeled_fraction() == 1.0


class Unmasked(MaskedEnv):
    """Lets everything pass."""

    step = MaskedEnv.__mro__[1].step


@pytest.mark.filterwarnings("ignore:Labels are missing")
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("arguments", [{"imitation_loss": "nll"}, {"label_every": 2}, {"label_fraction": 0.5}])
def test_student_comes_nearer_to_its_teacher(space: str, arguments: dict[str, Any]) -> None:
    model = make(SPACES[space], learning_rate=3e-3, n_epochs=5, imitation_coef=100.0, **arguments)
    before = train(model, 1).logger.name_to_value["train/imitation_loss"]
    model.train()
    assert model.logger.name_to_value["train/imitation_loss"] < before


# ---------------------------------------------------------------- a teacher that takes masks


@pytest.fixture(params=SPACES)
def masked_teacher(request: pytest.FixtureRequest) -> MaskablePPO:
    env = make_vec_env(lambda: MaskedEnv(SPACES[request.param]), n_envs=1)
    return MaskablePPO("MlpPolicy", env, policy_kwargs={"net_arch": [6]}, seed=2, device="cpu")


@pytest.mark.parametrize("normalized", [False, True])
def test_masked_teacher_is_asked_with_the_masks(masked_teacher: MaskablePPO, normalized: bool) -> None:
    env: Any = make_vec_env(lambda: MaskedEnv(masked_teacher.action_space), n_envs=N_ENVS, seed=3)
    model = train(make(masked_teacher.action_space, env=VecNormalize(env) if normalized else env, teacher=masked_teacher))
    assert model.rollout_buffer.labeled_fraction() == 1.0
    assert model.logger.name_to_value["teacher/missing"] == 0
    if not normalized:
        observations = model.rollout_buffer.observations.reshape(N_STEPS * N_ENVS, -1)
        masks = masks_for(masked_teacher.action_space, first_numbers_of(model))
        expected = masked_teacher.predict(observations, deterministic=True, action_masks=masks)[0]
        np.testing.assert_array_equal(labels_of(model), expected.reshape(len(observations), -1))
        # Here the masks matter: without them some labels would be forbidden
        free = masked_teacher.predict(observations, deterministic=True)[0].reshape(len(observations), -1)
        assert (free != labels_of(model)).any()


def test_masks_that_the_environment_offers_itself_are_left_alone() -> None:
    """It offers masks that allow the last action only; those of the student allow others."""
    offer = {"state": lambda env: np.zeros(4, np.float32), "action_masks": lambda env: np.array([False, False, True])}
    env = DummyVecEnv([lambda: TeacherActionWrapper(MaskedEnv(DISCRETE), observation=offer) for _ in range(N_ENVS)])
    teacher = MaskablePPO("MlpPolicy", MaskedEnv(DISCRETE), device="cpu")
    with pytest.warns(UserWarning, match="Labels are missing"):
        model = train(make(env=env, teacher=teacher))
    labels = labels_of(model)
    assert set(labels[~np.isnan(labels)]) == {2.0}


def test_teacher_that_takes_no_masks_sees_what_it_always_sees() -> None:
    seen = []

    def teacher(observations: np.ndarray) -> np.ndarray:
        seen.append(observations.shape[1:])
        return np.zeros(len(observations), dtype=int)

    with pytest.warns(UserWarning, match="Labels are missing"):
        train(make(teacher=teacher))
    assert set(seen) == {(4,)}


@pytest.mark.slow
def test_masked_teacher_in_a_process_of_its_own_gets_the_masks() -> None:
    """It answers with the first action that its mask allows."""
    teacher = ProcessTeacher(MaskEcho, verbose=0)
    model = train(make(teacher=teacher))
    teacher.close()
    assert teacher.takes_action_masks
    expected = masks_for(DISCRETE, first_numbers_of(model)).argmax(axis=1)
    np.testing.assert_array_equal(labels_of(model)[:, 0], expected)


# ---------------------------------------------------------------- distributions


class Doubtful(Teacher):
    """Gives logits, of forbidden actions too."""

    gives_distribution = True

    def setup(self, action_space: spaces.Space) -> None:
        self.size = {"discrete": 3, "multidiscrete": 5, "multibinary": 3}[
            next(name for name, space in SPACES.items() if space == action_space)
        ]
        self.actions = scripted_teacher(action_space)

    def predict(self, observations: Any, instructions: Any = None) -> TeacherOutput:
        logits = np.sin(observations[:, :1] * np.arange(1, self.size + 1) * 5.0)
        return TeacherOutput(self.actions(observations), logits=logits)


@pytest.mark.filterwarnings("ignore:Labels are missing")
@pytest.mark.parametrize("direction", ["forward", "reverse"])
@pytest.mark.parametrize("space", SPACES)
def test_kl_is_that_between_the_allowed_actions(space: str, direction: Any) -> None:
    """By hand, in float64: both distributions renormalized over what the mask allows."""
    action_space = SPACES[space]
    model = train(make(action_space, teacher=Doubtful(), imitation_loss=KL(direction=direction)), 1)
    (batch,) = model.rollout_buffer.get(None)
    evaluation = model._evaluate(batch)
    labels: TeacherLabels = batch.teacher_labels
    rows = KL(direction=direction).by_row(evaluation.distribution, labels, th.ones(len(labels.labeled)), 0.2)
    with th.no_grad():
        latent = model.policy.mlp_extractor.forward_actor(model.policy.extract_features(batch.observations))
        students = model.policy.action_net(latent).double().numpy()
    teachers = labels.logits.double().numpy()
    masks = batch.action_masks.numpy() > 0
    if space == "multibinary":
        teachers = np.stack([np.zeros_like(teachers), teachers], axis=2).reshape(len(teachers), -1)
    ends = first_columns(action_space)[1:]
    expected = np.zeros(len(rows))
    for student, teacher, mask in zip(*(np.split(array, ends, axis=1) for array in (students, teachers, masks)), strict=True):
        p, q = (np.where(mask, np.exp(logits), 0.0) for logits in (teacher, student))
        p, q = (weights / weights.sum(axis=1, keepdims=True) for weights in (p, q))
        p, q = (p, q) if direction == "forward" else (q, p)
        expected += np.where(mask, p * np.log(np.where(mask, p / np.where(mask, q, 1.0), 1.0)), 0.0).sum(axis=1)
    np.testing.assert_allclose(rows.detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    rows.sum().backward()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.policy.parameters())


# ---------------------------------------------------------------- saving


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Labels are missing")
def test_students_load_with_plain_maskable_ppo(tmp_path: Path) -> None:
    models = {name: train(make(space), 1) for name, space in SPACES.items()} | {"dict": train(make(DISCRETE, DICT_SPACE), 1)}
    assert_loads_elsewhere(models, "sb3_contrib:MaskablePPO", tmp_path)


@pytest.mark.filterwarnings("ignore:Labels are missing")
def test_training_goes_on_after_loading(tmp_path: Path) -> None:
    train(make(imitation_coef=0.25), 1).save(tmp_path / "student")
    env = make_vec_env(partial(MaskedEnv, DISCRETE), n_envs=N_ENVS, seed=7)
    again = MaskableRPD.load(tmp_path / "student", env=env, teacher=scripted_teacher(DISCRETE))
    assert again.imitation_coef == 0.25
    train(again, 1)
    assert 0 < again.rollout_buffer.labeled_fraction() < 1


def test_teacher_that_is_an_sb3_model_says_that_it_takes_masks() -> None:
    assert SB3Teacher(MaskablePPO("MlpPolicy", MaskedEnv(DISCRETE), device="cpu")).takes_action_masks

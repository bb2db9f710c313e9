"""RPD made of names: the same model as one made of what they stand for."""

from pathlib import Path

import pytest
import torch as th
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from sb3_rpd import RPD, RecurrentRPD, TeacherError
from sb3_rpd.common.gates import SuccessGate
from sb3_rpd.common.losses import Huber
from sb3_rpd.common.schedules import CosineCoef, LinearCoef
from sb3_rpd.zoo.algorithm import HyperparametersError, ZooRPD
from sb3_rpd.zoo.recurrent import ZooRecurrentRPD
from sb3_rpd.zoo.tasks import pendulum

TEACHER = "sb3_rpd.zoo.tasks:pendulum"
SETTINGS = dict(policy="MlpPolicy", n_steps=16, batch_size=16, n_epochs=2, seed=1, device="cpu")


def make_envs() -> VecEnv:
    return make_vec_env("Pendulum-v1", 2, seed=1)


def assert_same_policy(one: PPO, other: PPO) -> None:
    for name, value in one.policy.state_dict().items():
        assert th.equal(value, other.policy.state_dict()[name]), name


@pytest.mark.parametrize(
    ("zoo_class", "algorithm", "policy"), [(ZooRPD, RPD, "MlpPolicy"), (ZooRecurrentRPD, RecurrentRPD, "MlpLstmPolicy")]
)
def test_names_train_as_what_they_stand_for(zoo_class: type[ZooRPD], algorithm: type[RPD], policy: str) -> None:
    names = dict(imitation_coef="lin_5.0", imitation_loss={"Huber": {"delta": 0.5}}, learning_rate="lin_0.01")
    objects = dict(
        imitation_coef=LinearCoef(5.0), imitation_loss=Huber(delta=0.5), learning_rate=LinearSchedule(0.01, 0.0, 1.0)
    )
    settings = SETTINGS | {"policy": policy}
    named = zoo_class(env=make_envs(), teacher=TEACHER, **settings, **names).learn(128)
    made = algorithm(env=make_envs(), teacher=pendulum(), **settings, **objects).learn(128)

    assert_same_policy(named, made)
    # Four rollouts, the last of which begins when a quarter of the training remains
    assert named.logger.name_to_value == made.logger.name_to_value
    assert named.imitation_coef == LinearCoef(5.0)


def test_each_model_has_a_gate_of_its_own() -> None:
    gate = {"SuccessGate": {"teacher_success": 0.5, "coef": 5.0}}
    one, other = (ZooRPD(env=make_envs(), imitation_coef=gate, **SETTINGS) for _ in range(2))

    assert isinstance(one.imitation_coef, SuccessGate)
    assert one.imitation_coef is not other.imitation_coef
    assert gate == {"SuccessGate": {"teacher_success": 0.5, "coef": 5.0}}


def test_a_loaded_student_trains_on_with_names(tmp_path: Path) -> None:
    ZooRPD(env=make_envs(), teacher=TEACHER, imitation_coef="lin_5.0", **SETTINGS).learn(32).save(tmp_path / "student")

    as_saved = ZooRPD.load(tmp_path / "student", device="cpu")
    assert as_saved.imitation_coef == LinearCoef(5.0)
    names = dict(teacher=TEACHER, imitation_coef="cos_3.0")
    objects = dict(teacher=pendulum(), imitation_coef=CosineCoef(3.0))
    changed = ZooRPD.load(tmp_path / "student", make_envs(), "cpu", seed=1, **names).learn(64)
    by_hand = RPD.load(tmp_path / "student", make_envs(), "cpu", seed=1, **objects).learn(64)
    assert changed.imitation_coef == CosineCoef(3.0)
    assert_same_policy(changed, by_hand)
    assert_same_policy(as_saved, PPO.load(tmp_path / "student", device="cpu"))


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"imitation_coef": "lni_5.0"}, "'lni_5.0' is neither"),
        ({"imitation_coef": -1.0}, "must be finite and >= 0"),
        ({"imitation_coeff": 1.0}, "unexpected keyword argument 'imitation_coeff'"),
    ],
)
def test_wrong_hyperparameters_are_named(wrong: dict[str, object], complaint: str, tmp_path: Path) -> None:
    with pytest.raises(HyperparametersError, match=f"RPD cannot be made of these hyperparameters: .*{complaint}"):
        ZooRPD(env=make_envs(), **SETTINGS, **wrong)


def test_the_algorithm_is_named() -> None:
    settings = SETTINGS | {"policy": "MlpLstmPolicy", "imitation_coef": "lin_x"}
    with pytest.raises(
        HyperparametersError, match=r"^RecurrentRPD cannot be made of these hyperparameters: .*'lin_x' is neither"
    ):
        ZooRecurrentRPD(env=make_envs(), **settings)


def test_wrong_names_are_named_in_loading_too(tmp_path: Path) -> None:
    ZooRPD(env=make_envs(), **SETTINGS).save(tmp_path / "student")
    with pytest.raises(HyperparametersError, match="'lin_x' is neither"):
        ZooRPD.load(tmp_path / "student", device="cpu", imitation_coef="lin_x")


def test_a_teacher_that_is_not_there_is_named() -> None:
    with pytest.raises(TeacherError, match="no_teacher"):
        ZooRPD(env=make_envs(), teacher="sb3_rpd.zoo.tasks:no_teacher", **SETTINGS).learn(32)

"""Values of arguments that a settings file names."""

import inspect
from types import ModuleType
from typing import Any

import pytest
import torch as th
from stable_baselines3.common.buffers import RolloutBuffer

from sb3_rpd.common import gates, losses, named_values, schedules
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.gates import SuccessGate
from sb3_rpd.common.label_debiasing import LabelDebiasing
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.loss_names import LOSS_CLASSES
from sb3_rpd.common.losses import Huber, ImitationLoss
from sb3_rpd.common.named_values import read_named_values
from sb3_rpd.common.schedules import CoefSchedule, CosineCoef, LinearCoef, TrainingProgress


def read(name: str, value: Any) -> Any:
    return read_named_values({name: value})[name]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (2.5, 2.5),
        ("lin_5.0", LinearCoef(5.0)),
        ("lin_1e-1", LinearCoef(0.1)),
        ("cos_2", CosineCoef(2.0)),
        ({"CosineCoef": {"start": 5.0, "end": 0.5, "timesteps": 40_000}}, CosineCoef(5.0, 0.5, timesteps=40_000)),
        ({"LinearCoef": None}, LinearCoef()),
        (
            {"SuccessGate": {"teacher_success": 0.5, "coef": "lin_3.0"}},
            SuccessGate(0.5, coef=LinearCoef(3.0)),
        ),
        ({"SuccessGate": {"teacher_success": 0.5, "coef": {"CosineCoef": {}}}}, SuccessGate(0.5, coef=CosineCoef())),
    ],
)
def test_coefficients(written: Any, meant: Any) -> None:
    assert read("imitation_coef", written) == meant


def test_a_coefficient_falls_to_zero_in_a_line() -> None:
    coef = read("imitation_coef", "lin_5.0")
    assert [coef(TrainingProgress(remaining, 0, None, None)) for remaining in (1.0, 0.25, 0.0)] == [5.0, 1.25, 0.0]


@pytest.mark.parametrize("name", ["learning_rate", "clip_range", "clip_range_vf"])
def test_schedules_of_ppo_fall_to_zero_in_a_line(name: str) -> None:
    assert read(name, 0.1) == 0.1
    schedule = read(name, "lin_4e-4")
    assert [schedule(remaining) for remaining in (1.0, 0.5, 0.0)] == pytest.approx([4e-4, 2e-4, 0.0])


def test_objects_and_imports() -> None:
    assert read("imitation_loss", "kl") == "kl"
    assert read("imitation_loss", {"Huber": {"delta": 0.5}}) == Huber(delta=0.5)
    assert read("label_debiasing", {"LabelDebiasing": {"step_size": 0.1}}) == LabelDebiasing(step_size=0.1)
    assert read("label_memory", {"LabelMemory": {"capacity": 5}}) == LabelMemory(capacity=5)
    assert read("rollout_buffer_class", "stable_baselines3.common.buffers:RolloutBuffer") is RolloutBuffer
    written = {"activation_fn": "torch.nn:ReLU", "net_arch": {"pi": [8], "vf": [16]}, "optimizer_kwargs": {"eps": 1e-5}}
    assert read("policy_kwargs", written) == {**written, "activation_fn": th.nn.ReLU}
    assert read("n_steps", 5) == 5


def concrete(base: type, *modules: ModuleType) -> set[str]:
    found = {one for module in modules for one in vars(module).values() if isinstance(one, type) and issubclass(one, base)}
    return {one.__name__ for one in found if not inspect.isabstract(one)}


def test_every_schedule_gate_and_loss_has_its_name() -> None:
    # ProgressCoef holds a function
    coefs = concrete(CoefSchedule, schedules, gates) - {"ProgressCoef"}
    assert coefs == {one.__name__ for one in named_values._COEFS}
    assert concrete(ImitationLoss, losses) == {one.__name__ for one in LOSS_CLASSES}


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("imitation_coef", "5", ValueError, 'a number or a schedule such as "lin_0.5" or "cos_0.5"'),
        ("learning_rate", "cos_0.1", ValueError, "such as \"lin_0.5\", which ends at 0; 'cos_0.1' is neither"),
        ("imitation_coef", {"Cosine": {}}, ValueError, "'CosineCoef', 'SuccessGate', 'QDaggerGate'"),
        ("imitation_coef", {"LinearCoef": {}, "CosineCoef": {}}, ValueError, "written as {Name: {argument: value}}"),
        ("imitation_coef", {"CosineCoef": {"begin": 5.0}}, ValueError, "imitation_coef cannot be made: .*'begin'"),
        ("imitation_coef", {"CosineCoef": {"start": -1.0}}, ValueError, "must be finite and >= 0, not -1.0"),
        ("policy_kwargs", {"activation_fn": "torch.nn:Relu"}, TeacherError, "The activation_fn 'torch.nn:Relu' is not there"),
    ],
)
def test_what_makes_no_sense_is_said(name: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        read(name, value)

"""Without imitation MaskableRPD is the installed MaskablePPO, to the last bit."""

import inspect
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.buffers import MaskableRolloutBuffer
from stable_baselines3.common.env_util import make_vec_env
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, MaskedEnv, scripted_teacher
from toy_students import assert_logged, assert_same_to_the_last_bit, train_small

from sb3_rpd import RPD, MaskableRPD

DISCRETE = ACTION_SPACES["discrete"]
MLP: dict[str, Any] = {"policy": "MlpPolicy", "policy_kwargs": {"net_arch": [8]}}
CNN: dict[str, Any] = {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 8}}
MULTI_INPUT: dict[str, Any] = {"net_arch": [8], "features_extractor_kwargs": {"cnn_output_dim": 8}}


class OwnBuffer(MaskableRolloutBuffer):
    """Of the user's."""


# name: (action space, observation space, arguments)
CASES: dict[str, tuple[spaces.Space, spaces.Space | None, dict[str, Any]]] = {
    **{name: (ACTION_SPACES[name], None, MLP) for name in ("discrete", "multidiscrete", "multibinary")},
    "image": (DISCRETE, IMAGE_SPACE, {"policy": "CnnPolicy", "policy_kwargs": CNN}),
    "dict": (DISCRETE, DICT_SPACE, {"policy": "MultiInputPolicy", "policy_kwargs": MULTI_INPUT}),
    "losses_weights": (DISCRETE, None, {**MLP, "ent_coef": 0.01, "vf_coef": 0.3, "normalize_advantage": False}),
    "clip_range_vf": (DISCRETE, None, {**MLP, "clip_range_vf": 0.1}),
    "target_kl": (DISCRETE, None, {**MLP, "target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 6}),
    "own_buffer": (DISCRETE, None, {**MLP, "rollout_buffer_class": OwnBuffer}),
    "truncated_minibatch": (DISCRETE, None, {**MLP, "batch_size": 11}),
}


def train(algorithm: type[MaskablePPO], case: str, iterations: int = 3, **kwargs: Any) -> MaskablePPO:
    action_space, observation_space, arguments = CASES[case]
    env = make_vec_env(lambda: MaskedEnv(action_space, observation_space), n_envs=2, seed=3)
    return train_small(algorithm, env, arguments | kwargs, iterations)


@pytest.mark.filterwarnings("ignore:MaskableRPD has no teacher")
@pytest.mark.parametrize(("case", "teacher"), [*((case, "coefficient_0") for case in CASES), ("discrete", "no_teacher")])
def test_parameters_and_log_are_those_of_maskable_ppo(case: str, teacher: str) -> None:
    with_teacher = {"teacher": scripted_teacher(CASES[case][0]), "imitation_coef": 0.0}
    plain, ours = train(MaskablePPO, case), train(MaskableRPD, case, **(with_teacher if teacher == "coefficient_0" else {}))
    assert_same_to_the_last_bit(plain, ours)
    assert_logged(plain, ours)


@pytest.mark.filterwarnings("ignore:MaskableRPD has no teacher")
def test_target_kl_ends_epochs_early_in_its_case() -> None:
    assert train(MaskableRPD, "target_kl")._n_updates < 3 * 6


def test_without_masking_it_is_maskable_ppo_without_masking() -> None:
    class Permissive(MaskedEnv):
        def action_masks(self) -> np.ndarray:
            raise AssertionError("asked for masks")

        step = MaskedEnv.__mro__[1].step

    students = []
    for algorithm, arguments in (
        (MaskablePPO, {}),
        (MaskableRPD, {"teacher": scripted_teacher(DISCRETE), "imitation_coef": 0.0}),
    ):
        env = make_vec_env(lambda: Permissive(DISCRETE), n_envs=2, seed=3)
        model = algorithm(env=env, n_steps=12, batch_size=8, n_epochs=2, seed=5, device="cpu", **MLP, **arguments)
        students.append(model.learn(48, use_masking=False))
    assert_same_to_the_last_bit(*students)


@pytest.mark.filterwarnings("ignore:MaskableRPD has no teacher")
def test_minibatch_of_one_entry_is_not_normalized_to_nan() -> None:
    """MaskablePPO divides by the standard deviation of a single number, and its parameters are NaN from then on."""
    parameters = train(MaskableRPD, "discrete", iterations=1, batch_size=23).policy.parameters()
    assert all(parameter.isfinite().all() for parameter in parameters)


def test_arguments_are_maskable_ppos_and_then_those_of_rpd() -> None:
    theirs, ours = (inspect.signature(algorithm).parameters for algorithm in (MaskablePPO, MaskableRPD))
    own = {name: parameter for name, parameter in ours.items() if name not in theirs}
    assert list(ours) == [*theirs, *own]
    of_rpd = [p for p in inspect.signature(RPD).parameters.values() if p.kind is inspect.Parameter.KEYWORD_ONLY]
    assert list(own.values()) == of_rpd


@pytest.mark.parametrize("method", ["learn", "collect_rollouts", "predict", "save", "load", "train"])
def test_methods_are_called_as_those_of_maskable_ppo(method: str) -> None:
    theirs, ours = (inspect.signature(getattr(algorithm, method)).parameters for algorithm in (MaskablePPO, MaskableRPD))
    assert list(theirs) == list(ours)


def test_fast_path_is_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^fast=True, but the fast path does not cover this model: .*Maskable.*\.$"):
        train(MaskableRPD, "discrete", teacher=scripted_teacher(DISCRETE), fast=True)


def test_without_a_teacher_it_says_whose_training_this_is() -> None:
    with pytest.warns(UserWarning, match=r"^MaskableRPD has no teacher and trains as MaskablePPO\. Give it one") as warned:
        train(MaskableRPD, "discrete", iterations=1)
    # Where learn() is called
    assert [warning.filename for warning in warned] == [inspect.getfile(train_small)]

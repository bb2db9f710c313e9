"""The fast path of training against the plain one: the same student up to rounding, with every option of PPO and RPD."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import nn
from toy_envs import ACTION_SPACES, DICT_SPACE, IMAGE_SPACE, SpacesEnv, scripted_teacher
from toy_students import assert_close, assert_trained_alike

from sb3_rpd import RPD
from sb3_rpd.common.losses import L1, MSE, NLL, Cosine, Huber, ImitationLoss
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.fast_path.training import FastTraining

pytestmark = [
    pytest.mark.filterwarnings("ignore:Labels are missing"),
    pytest.mark.filterwarnings("ignore:Provided features_extractor will be ignored"),
    pytest.mark.filterwarnings("ignore:You have specified a mini-batch size"),
    pytest.mark.filterwarnings("ignore:RPD has no teacher"),
]
BOX = ACTION_SPACES["box"]
N_STEPS, N_ENVS = 12, 2
SMALL_CNN: dict[str, Any] = {"net_arch": [8], "features_extractor_kwargs": {"features_dim": 8}}


def policy(**kwargs: Any) -> dict[str, Any]:
    return {"policy_kwargs": {"net_arch": [8]} | kwargs}


class GaussianTeacher(Teacher):
    """Gives its standard deviation as well, and in every third state nothing."""

    gives_distribution = True

    def predict(self, observations: Any, instructions: Any = None) -> TeacherOutput:
        actions = scripted_teacher(BOX)(observations).astype(np.float32)
        actions[(1000 * observations[:, 0]).astype(int) % 3 == 0] = np.nan
        return TeacherOutput(actions, std=np.abs(observations[:, :2]).astype(np.float32) + 0.1)


# name: (observation space, arguments)
CASES: dict[str, tuple[spaces.Space | None, dict[str, Any]]] = {
    "defaults": (None, {}),
    "relu": (None, policy(activation_fn=nn.ReLU)),
    "gelu": (None, policy(activation_fn=nn.GELU)),
    "no_hidden_layer": (None, policy(net_arch=[])),
    "unequal_networks": (None, policy(net_arch={"pi": [8, 4, 6], "vf": [5]})),
    "no_critic_layers": (None, policy(net_arch={"pi": [8], "vf": []})),
    "one_hot": (spaces.Discrete(5), {}),
    "matrix_observations": (spaces.Box(-1.0, 1.0, (2, 2), np.float64), {}),
    "image": (IMAGE_SPACE, {"policy": "CnnPolicy", **policy(**SMALL_CNN)}),
    "separate_extractors": (IMAGE_SPACE, {"policy": "CnnPolicy", **policy(**SMALL_CNN, share_features_extractor=False)}),
    "separate_flattening": (None, policy(share_features_extractor=False)),
    "dict": (DICT_SPACE, {"policy": "MultiInputPolicy", **policy(features_extractor_kwargs={"cnn_output_dim": 8})}),
    "entropy_bonus": (None, {"ent_coef": 0.05, "vf_coef": 0.3}),
    "clip_range_vf": (None, {"clip_range_vf": 0.05, "learning_rate": 1e-2}),
    "clip_range_that_ends_at_0": (None, {"clip_range": lambda left: 0.2 * left}),
    "clip_range_vf_that_ends_at_0": (None, {"clip_range_vf": lambda left: 0.2 * left}),
    "both_clip_ranges_end_at_0": (None, {"clip_range": lambda left: 0.2 * left, "clip_range_vf": lambda left: 0.2 * left}),
    "vanishing_clip_range": (None, {"clip_range": 1e-9, "clip_range_vf": 1e-7}),
    "narrow_clip_range": (None, {"clip_range": 0.01, "learning_rate": 1e-2}),
    "schedules": (None, {"learning_rate": lambda left: 1e-3 * left, "clip_range": lambda left: 0.1 + 0.1 * left}),
    "raw_advantages": (None, {"normalize_advantage": False}),
    "truncated_minibatch": (None, {"batch_size": 11}),
    "minibatch_of_one": (None, {"batch_size": 23}),
    "one_minibatch": (None, {"batch_size": 100}),
    "max_grad_norm": (None, {"max_grad_norm": 0.01}),
    "target_kl": (None, {"target_kl": 1e-3, "learning_rate": 1e-2, "n_epochs": 6}),
    "adam_options": (None, policy(optimizer_kwargs={"betas": (0.8, 0.9), "eps": 1e-4, "weight_decay": 0.1})),
    "adamw": (None, policy(optimizer_class=th.optim.AdamW, optimizer_kwargs={"eps": 1e-5, "weight_decay": 0.1})),
    "rmsprop": (None, policy(optimizer_class=RMSpropTFLike, optimizer_kwargs={"eps": 1e-5})),
    "amsgrad": (None, policy(optimizer_kwargs={"amsgrad": True, "eps": 1e-5})),
    "wide_noise": (None, policy(log_std_init=1.0)),
    "l1": (None, {"imitation_loss": L1()}),
    "huber": (None, {"imitation_loss": Huber(delta=0.3)}),
    "weights": (None, {"imitation_loss": MSE(weights=(3.0, 0.5))}),
    "nll": (None, {"imitation_loss": "nll"}),
    "weighted_nll": (None, {"imitation_loss": NLL(weights=(3.0, 0.0))}),
    "cosine": (None, {"imitation_loss": Cosine(groups={"both": (0, 1)})}),
    "kl": (None, {"imitation_loss": "kl", "teacher": GaussianTeacher()}),
    "mse_of_a_gaussian_teacher": (None, {"teacher": GaussianTeacher()}),
    "schedule_of_the_coefficient": (None, {"imitation_coef": lambda left: 5.0 * left}),
    "sparse_labels": (None, {"label_fraction": 0.2, "batch_size": 4}),
    "every_fifth_label": (None, {"label_every": 5}),
}


def make(case: str, algorithm: type[PPO] = RPD, **kwargs: Any) -> Any:
    observation_space, arguments = CASES[case]
    env = make_vec_env(lambda: SpacesEnv(BOX, observation_space), n_envs=N_ENVS, seed=3)
    defaults = {"policy": "MlpPolicy", "n_steps": N_STEPS, "batch_size": 8, "n_epochs": 3, "seed": 5, "device": "cpu"}
    own = {} if algorithm is PPO else {"teacher": scripted_teacher(BOX), "imitation_coef": 2.0}
    model = algorithm(env=env, **(defaults | own | policy() | arguments | kwargs))
    model.set_logger(configure(None, []))
    return model


def train(model: Any, iterations: int = 4) -> Any:
    return model.learn(iterations * N_STEPS * N_ENVS, log_interval=1000)


@pytest.mark.parametrize("case", CASES)
def test_student_and_log_are_those_of_the_plain_path(case: str) -> None:
    plain, fast = train(make(case, fast=False)), train(make(case, fast=True))
    assert_trained_alike(plain, fast)


@pytest.mark.parametrize("case", CASES)
def test_fast_path_without_imitation_is_ppo_up_to_rounding(case: str) -> None:
    arguments = {name: value for name, value in CASES[case][1].items() if not name.startswith(("imitation", "label", "teach"))}
    CASES["of_ppo"] = (CASES[case][0], arguments)
    try:
        assert_close(train(make("of_ppo", PPO)), train(make("of_ppo", fast=True, teacher=None)))
    finally:
        del CASES["of_ppo"]


def count_fast_trainings(monkeypatch: pytest.MonkeyPatch) -> list[FastTraining]:
    entered = []
    enter = FastTraining.__enter__

    def counted(training: FastTraining) -> FastTraining:
        entered.append(training)
        return enter(training)

    monkeypatch.setattr(FastTraining, "__enter__", counted)
    return entered


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, 4),
        ({"fast": False}, 0),
        ({"fast": True}, 4),
        ({"teacher": None}, 0),
        ({"teacher": None, "fast": True}, 4),
        ({"imitation_coef": 0.0}, 0),
        ({"imitation_coef": lambda left: float(left > 0.4)}, 3),
    ],
)
def test_when_the_fast_path_is_taken(arguments: dict[str, Any], expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    entered = count_fast_trainings(monkeypatch)
    train(make("defaults", **arguments))
    assert len(entered) == expected


def test_update_with_a_clip_range_of_0_takes_the_plain_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last bits of the probability ratio then say whether an entry has a gradient at all."""
    entered = count_fast_trainings(monkeypatch)
    train(make("clip_range_that_ends_at_0", fast=True))
    assert [training._settings.clip_range for training in entered] == pytest.approx([0.15, 0.1, 0.05])


@pytest.mark.parametrize("batch_size", [N_STEPS * N_ENVS, 10**9])
def test_memory_is_for_the_rows_that_there_are(batch_size: int) -> None:
    model = train(make("image", batch_size=batch_size), 1)
    with model._fast_training(model._ppo_loss_settings(), MSE()) as training:
        assert training._networks._images._scaled.shape[0] == N_STEPS * N_ENVS
    reference = train(make("image", batch_size=batch_size, fast=False), 1)
    assert_close(reference, model)


def test_early_stop_is_said_as_on_the_plain_path(capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for fast in (False, True):
        train(make("target_kl", fast=fast, verbose=1), iterations=1)
        said.append([line for line in capsys.readouterr().out.splitlines() if line.startswith("Early stopping")])
    assert said[0] == said[1]
    assert len(said[0]) == 1


@pytest.mark.parametrize("case", ["defaults", "image"])
def test_paths_can_take_turns(case: str) -> None:
    models = []
    for paths in ((False, False, False, False), (True, False, None, False)):
        model = make(case)
        for fast in paths:
            model.fast = fast
            train(model, 1)
        models.append(model)
    assert_close(*models)


@pytest.mark.parametrize("case", ["defaults", "image"])
def test_parameters_and_moments_stay_in_their_tensors(case: str) -> None:
    model = train(make(case))
    before = [parameter.data_ptr() for parameter in model.policy.parameters()]
    moments = [state["exp_avg"].data_ptr() for state in model.policy.optimizer.state.values()]
    train(model)
    assert [parameter.data_ptr() for parameter in model.policy.parameters()] == before
    assert [state["exp_avg"].data_ptr() for state in model.policy.optimizer.state.values()] == moments
    assert not any(group["fused"] for group in model.policy.optimizer.param_groups)


@pytest.mark.parametrize("case", ["defaults", "image"])
def test_training_goes_on_after_saving_and_loading(case: str, tmp_path: Path) -> None:
    models = {fast: train(make(case, fast=fast)) for fast in (False, True)}
    for fast, model in models.items():
        model.save(tmp_path / f"{fast}")
        env = make_vec_env(lambda: SpacesEnv(BOX, CASES[case][0]), n_envs=N_ENVS, seed=7)
        loaded = RPD.load(tmp_path / f"{fast}", env=env, teacher=scripted_teacher(BOX), device="cpu", seed=9)
        assert loaded.fast is fast
        models[fast] = train(loaded)
    assert_close(models[False], models[True])
    PPO.load(tmp_path / "True", device="cpu")


class FailingLoss(MSE):
    """Raises an error in the sixth minibatch. A subclass, of which the fast path knows no derivative."""

    calls = 0

    def per_sample(self, *args: Any) -> th.Tensor:
        type(self).calls += 1
        if self.calls == 6:
            raise KeyboardInterrupt
        return super().per_sample(*args)


@pytest.mark.parametrize("case", ["defaults", "image"])
def test_nothing_learned_is_lost_when_training_is_interrupted(case: str) -> None:
    models = []
    for fast in (False, True):
        # The fast path evaluates the loss of a whole epoch once more for the log: with 5 minibatches there is no end of one
        model = make(case, fast=fast, imitation_loss=FailingLoss(), batch_size=4)
        FailingLoss.calls = 0
        with pytest.raises(KeyboardInterrupt):
            train(model)
        models.append(model)
        assert all(parameter._base is None for parameter in model.policy.parameters())
    assert_close(*models)


class OwnEvaluation(ActorCriticPolicy):
    """Says that it does something of its own."""

    def evaluate_actions(self, *args: Any) -> Any:
        return super().evaluate_actions(*args)


class OwnBuffer(RolloutBuffer):
    """A buffer of the user's."""


class OwnMean(MSE):
    """A loss that is not a mean over the labeled rows."""

    def __call__(self, *args: Any) -> th.Tensor:
        return 2.0 * super().__call__(*args)


class OwnStep(RPD):
    """An algorithm with another optimizer step."""

    def _optimizer_step(self, loss: th.Tensor) -> None:
        super()._optimizer_step(2.0 * loss)


def separate_groups(parameters: Any, **kwargs: Any) -> th.optim.Adam:
    first, *others = parameters
    return th.optim.Adam([{"params": [first]}, {"params": others}], **kwargs)


NOT_COVERED: dict[str, tuple[str, dict[str, Any]]] = {
    "policy": ("OwnEvaluation has its own evaluate_actions", {"policy": OwnEvaluation}),
    "buffer": ("rollout buffer.*OwnBuffer", {"rollout_buffer_class": OwnBuffer}),
    "loss": ("OwnMean", {"imitation_loss": OwnMean()}),
    "optimizer": ("SGD", policy(optimizer_class=th.optim.SGD)),
    "groups": ("one group", policy(optimizer_class=separate_groups)),
    "algorithm": ("OwnStep has its own _optimizer_step", {}),
}


@pytest.mark.parametrize("obstacle", NOT_COVERED)
def test_what_is_not_covered_trains_on_the_plain_path(obstacle: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message, arguments = NOT_COVERED[obstacle]
    algorithm = OwnStep if obstacle == "algorithm" else RPD
    env = make_vec_env(lambda: SpacesEnv(BOX), n_envs=N_ENVS, seed=3)
    common: dict[str, Any] = {"policy": "MlpPolicy", "n_steps": 12, "batch_size": 8, "device": "cpu"}
    common |= {"teacher": scripted_teacher(BOX), **arguments}
    with pytest.raises(ValueError, match=f"fast=True, but the fast path does not cover this model: .*{message}"):
        algorithm(env=env, **common, fast=True)
    entered = count_fast_trainings(monkeypatch)
    model = algorithm(env=env, **common)
    assert model.why_not_fast() is not None
    model.learn(24)
    assert not entered


@pytest.mark.parametrize(
    ("case", "arguments", "said"),
    [
        ("defaults", {}, "fast path: DiagGaussianDistribution in closed form, layers by the chain rule, Adam on one vector"),
        ("adamw", {}, "fast path: DiagGaussianDistribution in closed form, layers by the chain rule, AdamW on one vector"),
        ("gelu", {}, "fast path: DiagGaussianDistribution in closed form, networks by autograd, Adam"),
        (
            "defaults",
            {"use_sde": True},
            "fast path: StateDependentNoiseDistribution in closed form, layers by the chain rule, ",
        ),
        ("defaults", {"fast": False}, "plain path: fast=False"),
        ("defaults", {"imitation_loss": OwnMean()}, "plain path: the imitation loss OwnMean is not a mean over rows"),
    ],
)
def test_variant_is_said(case: str, arguments: dict[str, Any], said: str) -> None:
    assert make(case, **arguments).training_path().startswith(said)


def test_frozen_extractor_stays_frozen() -> None:
    models = []
    for fast in (False, True):
        model = make("image", fast=fast)
        model.policy.features_extractor.requires_grad_(False)
        before = model.policy.features_extractor.state_dict()["linear.0.weight"].clone()
        train(model)
        assert th.equal(before, model.policy.features_extractor.state_dict()["linear.0.weight"])
        models.append(model)
    assert_close(*models)


@pytest.mark.parametrize("fast", [False, True])
def test_bf16_is_close_and_leaves_parameters_in_float32(fast: bool) -> None:
    reference, model = train(make("image", fast=False), 1), train(make("image", fast=fast, bf16=True), 1)
    change = 0.0
    for name, parameter in reference.policy.state_dict().items():
        other = model.policy.state_dict()[name]
        assert other.dtype == th.float32
        change = max(change, float((other - parameter).abs().max()))
    # 9 steps of 3e-4: at most 2 * 2.7e-3 apart, and some rounding in any case
    assert 0.0 < change < 2e-3
    assert not model.policy.features_extractor._forward_hooks


def test_bf16_wants_something_to_compute() -> None:
    with pytest.raises(ValueError, match="FlattenExtractor of this policy has no parameters"):
        make("defaults", bf16=True)


def test_own_loss_is_covered_if_it_is_a_mean_over_rows() -> None:
    class Cubic(ImitationLoss):
        def per_sample(self, distribution: Any, labels: Any, ratio: th.Tensor, clip_range: float) -> th.Tensor:
            return (distribution.mode() - labels.actions).abs().pow(3).sum(dim=1) * ratio

    assert_close(*(train(make("defaults", fast=fast, imitation_loss=Cubic())) for fast in (False, True)))

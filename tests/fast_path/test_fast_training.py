"""Training that somebody has meddled with: fast and plain path still agree, and nothing stays behind."""

import gc
import pathlib
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import configure
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from torch import nn
from torch.nn.utils import parametrize
from toy_envs import ACTION_SPACES, IMAGE_SPACE, SpacesEnv, scripted_teacher

from sb3_rpd import RPD
from sb3_rpd.fast_path.networks import AutogradNetworks, PerceptronNetworks
from sb3_rpd.fast_path.optimizers import FlatOptimizer, FusedOptimizer
from sb3_rpd.fast_path.training import FastTraining

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
BOX = ACTION_SPACES["box"]
N_STEPS, N_ENVS = 9, 2
CNN = {"net_arch": [5], "features_extractor_kwargs": {"features_dim": 6}}


def make(fast: bool, *, images: bool = False, **kwargs: Any) -> RPD:
    env = make_vec_env(lambda: SpacesEnv(BOX, IMAGE_SPACE if images else None), n_envs=N_ENVS, seed=3)
    policy, policy_kwargs = ("CnnPolicy", CNN) if images else ("MlpPolicy", {"net_arch": [7, 5]})
    arguments: dict[str, Any] = {"n_steps": N_STEPS, "batch_size": 7, "n_epochs": 2, "seed": 5, "device": "cpu"}
    arguments |= {"policy_kwargs": policy_kwargs, "teacher": scripted_teacher(BOX), "fast": fast}
    model = RPD(policy, env, **arguments | kwargs)
    model.set_logger(configure(None, []))
    return model


def train(model: RPD, iterations: int, callback: Any = None) -> RPD:
    return model.learn(iterations * N_STEPS * N_ENVS, callback=callback, log_interval=1000)


def assert_close(plain: RPD, fast: RPD) -> None:
    for name, parameter in plain.policy.state_dict().items():
        th.testing.assert_close(fast.policy.state_dict()[name], parameter, rtol=0, atol=1e-6, msg=name)


class DoubleClamp(nn.Module):
    """A parametrization: ``log_std`` is then no parameter but worked out from one."""

    def forward(self, log_std: th.Tensor) -> th.Tensor:
        return 2.0 * log_std.clamp(-1.0, 1.0)


def new_optimizer(model: RPD, **kwargs: Any) -> None:
    # The first steps of a new Adam enlarge rounding errors by lr / eps
    model.policy.optimizer = th.optim.Adam(model.policy.parameters(), **{"lr": 3e-4, "eps": 1e-3} | kwargs)


def freeze(*names: str) -> Callable[[RPD], None]:
    def change(model: RPD) -> None:
        for name, parameter in model.policy.named_parameters():
            if name.startswith(names):
                parameter.requires_grad_(False)

    return change


def add_parameter(model: RPD) -> None:
    model.policy.extra = nn.Parameter(th.ones(3))
    new_optimizer(model, weight_decay=0.1)


def share_a_tower(model: RPD) -> None:
    model.policy.mlp_extractor.value_net = model.policy.mlp_extractor.policy_net
    new_optimizer(model)


def clamp_log_std(model: RPD) -> None:
    parametrize.register_parametrization(model.policy, "log_std", DoubleClamp())
    new_optimizer(model)


def clamp_after_each_step(model: RPD) -> None:
    model.policy.optimizer.register_step_post_hook(lambda *args: model.policy.log_std.data.clamp_(-1e-4, 1e-4))


def double_gradient(model: RPD) -> None:
    model.policy.log_std.register_hook(lambda gradient: 2.0 * gradient)


def load_others(model: RPD) -> None:
    model.set_parameters(
        make(False, images=model.policy.normalize_images and len(model.observation_space.shape) > 1).get_parameters()
    )


# name: (what is done before the first training, what is done between two)
CHANGES: dict[str, tuple[Callable[[RPD], Any] | None, Callable[[RPD], Any] | None]] = {
    "optimizer_replaced": (None, new_optimizer),
    "parameter_added": (add_parameter, None),
    "parameters_set": (None, load_others),
    "frozen_log_std": (freeze("log_std"), None),
    "frozen_actor": (freeze("log_std", "mlp_extractor.policy_net", "action_net"), None),
    "frozen_for_a_while": (freeze("log_std", "action_net"), lambda model: model.policy.requires_grad_(True)),
    "frozen_later": (None, freeze("log_std", "value_net")),
    "shared_tower": (share_a_tower, None),
    "parametrized_log_std": (clamp_log_std, None),
    "step_hook": (clamp_after_each_step, None),
    "gradient_hook": (double_gradient, None),
    "module_hook": (lambda model: model.policy.action_net.register_forward_hook(lambda *args: 2.0 * args[2]), None),
    "moved": (None, lambda model: model.policy.to(th.float64).to(th.float32)),
    "new_learning_rate": (None, lambda model: setattr(model, "lr_schedule", lambda _: 1e-3)),
    "layer_replaced": (None, lambda model: (setattr(model.policy, "value_net", nn.Linear(5, 1)), new_optimizer(model))),
}


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_paths_agree_on_models_that_somebody_meddles_with(change: str, images: bool) -> None:
    models = []
    for fast in (False, True):
        model = make(fast, images=images)
        before, between = CHANGES[change]
        if before is not None:
            before(model)
        train(model, 2)
        th.manual_seed(11)
        if between is not None:
            between(model)
        train(model, 2)
        assert model.why_not_fast() is None
        models.append(model)
    assert_close(*models)


def test_kinds_of_networks_and_optimizers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is what: the perceptron, images, and a perceptron that the chain rule written out does not fit."""
    entered: list[FastTraining] = []
    exit_ = FastTraining.__exit__
    monkeypatch.setattr(FastTraining, "__exit__", lambda self, *args: (entered.append(self), exit_(self, *args))[1])
    train(make(True), 1)
    train(make(True, images=True), 1)
    frozen = make(True)
    freeze("log_std")(frozen)
    train(frozen, 1)
    kinds = [(type(training._networks), type(training._optimizer)) for training in entered]
    assert kinds == [
        (PerceptronNetworks, FlatOptimizer),
        (AutogradNetworks, FusedOptimizer),
        (AutogradNetworks, FusedOptimizer),
    ]


@pytest.mark.parametrize("images", [False, True])
def test_optimizer_is_restored_when_there_is_no_memory_for_the_networks(images: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any) -> None:
        raise MemoryError

    model = train(make(True, images=images), 1)
    homes = [parameter.data_ptr() for parameter in model.policy.parameters()]
    for kind in (PerceptronNetworks, AutogradNetworks):
        monkeypatch.setattr(kind, "__init__", fail)
    with pytest.raises(MemoryError):
        model.train()
    assert [parameter.data_ptr() for parameter in model.policy.parameters()] == homes
    assert not model.policy.optimizer.param_groups[0]["fused"]


def test_nan_is_said_in_training() -> None:
    model = train(make(True), 1)
    model.rollout_buffer.returns[3] = np.nan
    with pytest.raises(ValueError, match="distribution of actions is NaN"):
        model.train()


def test_training_without_a_rollout_is_refused_as_by_ppo() -> None:
    for fast in (False, True):
        with pytest.raises(AssertionError):
            make(fast).train()


@pytest.mark.parametrize("images", [False, True])
def test_nothing_of_a_training_stays_in_memory(images: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    trainings: list[weakref.ref[FastTraining]] = []
    enter = FastTraining.__enter__
    monkeypatch.setattr(FastTraining, "__enter__", lambda self: (trainings.append(weakref.ref(self)), enter(self))[1])
    gc.collect()
    gc.disable()
    try:
        model = train(make(True, images=images), 2)
        assert [training() for training in trainings] == [None, None]
        # The rollout itself is in memory once
        observations = model.rollout_buffer.observations
        assert observations.base is None or observations.base.nbytes == observations.nbytes
    finally:
        gc.enable()


class Saves(BaseCallback):
    """Changes and saves the student in the middle of the second rollout, and loads it again."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self.path = path
        self.saved = 0

    def _on_step(self) -> bool:
        policy = self.model.policy
        if self.n_calls == N_STEPS + 3:
            policy.action_net.bias.data += 0.1
            self.model.save(self.path)
            for name, tensor in RPD.load(self.path, device="cpu").policy.state_dict().items():
                assert th.equal(tensor, policy.state_dict()[name])
            self.saved += 1
        return True


def test_callback_changes_and_saves_the_student_in_the_middle_of_a_rollout(tmp_path: pathlib.Path) -> None:
    callbacks = [Saves(tmp_path / "student.zip") for _ in range(2)]
    assert_close(*(train(make(fast), 3, callback) for fast, callback in zip((False, True), callbacks, strict=True)))
    assert [callback.saved for callback in callbacks] == [1, 1]


@pytest.mark.parametrize("images", [False, True])
def test_two_models_can_train_at_the_same_time(images: bool) -> None:
    """In threads. With one minibatch an epoch the order of its rows, drawn from numpy's generator, is but rounding."""
    alone, together = ([train(make(True, images=images, batch_size=100, seed=seed), 1) for seed in (5, 6)] for _ in range(2))
    for model in (*alone, *together):
        model.n_epochs = 10
    for model in alone:
        model.train()
    threads = [threading.Thread(target=model.train) for model in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, second in zip(alone, together, strict=True):
        assert_close(first, second)


@pytest.mark.parametrize("optimizer_class", [th.optim.Adam, th.optim.AdamW, RMSpropTFLike])
def test_whoever_trains_on_by_autograd_can_use_all_that_is_left(optimizer_class: type[th.optim.Optimizer]) -> None:
    model = make(True, policy_kwargs={"optimizer_class": optimizer_class})
    train(model, 2)
    state = [
        part for of_one in model.policy.optimizer.state.values() for part in of_one.values() if isinstance(part, th.Tensor)
    ]
    left = [*model.policy.parameters(), *state]
    assert len(state) > 1
    assert not any(tensor.is_inference() for tensor in left)
    loss = sum((tensor.float() ** 2).sum() for tensor in model.policy.parameters())
    model.policy.optimizer.zero_grad()
    loss.backward()
    model.policy.optimizer.step()

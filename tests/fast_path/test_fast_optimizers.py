"""Optimizers for all parameters at once, against themselves parameter by parameter with torch's own clipping in float64."""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
import torch as th
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.sb2_compat.rmsprop_tf_like import RMSpropTFLike
from toy_minibatches import assert_equal_to_rounding

from sb3_rpd.fast_path.optimizers import FastOptimizer, FlatOptimizer, FusedOptimizer

SHAPES = ((3, 2), (2,), (), (1, 4))
KINDS = (FlatOptimizer, FusedOptimizer)


def make(optimizer: type[th.optim.Optimizer] = th.optim.Adam, **options: Any) -> Any:
    generator = th.Generator().manual_seed(0)
    parameters = [th.nn.Parameter(th.randn(shape, dtype=th.float64, generator=generator)) for shape in SHAPES]
    return optimizer(parameters, **{"lr": 0.1} | options)


def parameters_of(optimizer: th.optim.Optimizer) -> list[th.nn.Parameter]:
    return optimizer.param_groups[0]["params"]


def gradients(seed: int) -> list[th.Tensor]:
    generator = th.Generator().manual_seed(100 + seed)
    return [th.randn(shape, dtype=th.float64, generator=generator) for shape in SHAPES]


def set_gradients(optimizer: th.optim.Optimizer, seed: int) -> None:
    for parameter, gradient in zip(parameters_of(optimizer), gradients(seed), strict=True):
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad.copy_(gradient)


def plain_steps(optimizer: th.optim.Optimizer, seeds: range, max_grad_norm: float) -> None:
    for seed in seeds:
        set_gradients(optimizer, seed)
        th.nn.utils.clip_grad_norm_(parameters_of(optimizer), max_grad_norm)
        optimizer.step()


def fast_steps(kind: type[FastOptimizer], optimizer: th.optim.Optimizer, seeds: Iterable[int], max_grad_norm: float) -> None:
    with kind(optimizer) as fast, th.no_grad():
        for seed in seeds:
            set_gradients(optimizer, seed)
            fast.step(max_grad_norm)


def assert_same(fast: th.optim.Optimizer, plain: th.optim.Optimizer, tolerance: float = 1e-12) -> None:
    """Parameters, groups, and state."""
    assert_equal_to_rounding([*parameters_of(fast)], [*parameters_of(plain)], tolerance)
    actual, expected = fast.state_dict(), plain.state_dict()
    assert actual["param_groups"] == expected["param_groups"]
    assert actual["state"].keys() == expected["state"].keys()
    for index, state in expected["state"].items():
        assert_equal_to_rounding(actual["state"][index], state, tolerance)


OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "sb3": {"eps": 1e-5, "lr": 3e-4},
    "betas": {"betas": (0.5, 0.7)},
    "no_momentum": {"betas": (0.0, 0.9)},
    "weight_decay": {"weight_decay": 0.1},
    "fused": {"fused": True},
    "foreach": {"foreach": True},
    "amsgrad": {"amsgrad": True},
    "maximize": {"maximize": True},
    "adamw": {"optimizer": th.optim.AdamW},
    "adamw_with_much_decay": {"optimizer": th.optim.AdamW, "weight_decay": 0.3},
    "rmsprop": {"optimizer": RMSpropTFLike},
    **(
        {"decoupled": {"weight_decay": 0.3, "decoupled_weight_decay": True}}
        if "decoupled_weight_decay" in inspect.signature(th.optim.Adam).parameters
        else {}
    ),
    "rmsprop_as_in_a2c": {"optimizer": RMSpropTFLike, "alpha": 0.99, "eps": 1e-5, "weight_decay": 0.0},
    "rmsprop_with_everything": {
        "optimizer": RMSpropTFLike,
        "alpha": 0.7,
        "momentum": 0.5,
        "centered": True,
        "weight_decay": 0.1,
    },
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("max_grad_norm", [0.0, 0.5, 1e6])
def test_steps_are_those_of_the_optimizer(kind: type[FastOptimizer], options: str, max_grad_norm: float) -> None:
    """Three trainings: one that finds no state, two that find one, with a new learning rate for the last."""
    fast, plain = make(**OPTIONS[options]), make(**OPTIONS[options])
    for training in range(3):
        if training == 2:
            for optimizer in (fast, plain):
                optimizer.param_groups[0]["lr"] = 0.03
        seeds = range(4 * training, 4 * training + 4)
        fast_steps(kind, fast, seeds, max_grad_norm)
        plain_steps(plain, seeds, max_grad_norm)
        assert_same(fast, plain)


@given(turns=st.lists(st.sampled_from(["flat", "fused", "plain"]), min_size=1, max_size=5))
def test_kinds_can_take_turns(turns: list[str]) -> None:
    mixed, plain = make(), make()
    for turn, kind in enumerate(turns):
        seeds = range(2 * turn, 2 * turn + 2)
        if kind == "plain":
            plain_steps(mixed, seeds, 0.5)
        else:
            fast_steps(FlatOptimizer if kind == "flat" else FusedOptimizer, mixed, seeds, 0.5)
        plain_steps(plain, seeds, 0.5)
    assert_same(mixed, plain)


def test_first_step_by_hand() -> None:
    """Adam's first step is lr * g / (|g| + eps), the learning rate in the direction of the sign of the clipped gradient."""
    optimizer = make(lr=0.25, eps=0.5)
    before = [parameter.detach().clone() for parameter in parameters_of(optimizer)]
    norm = sum(float((gradient**2).sum()) for gradient in gradients(0)) ** 0.5
    fast_steps(FlatOptimizer, optimizer, range(1), 0.5)
    for parameter, old, gradient in zip(parameters_of(optimizer), before, gradients(0), strict=True):
        clipped = gradient * 0.5 / (norm + 1e-6)
        assert_equal_to_rounding(parameter.detach(), old - 0.25 * clipped / (clipped.abs() + 0.5), 1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_optimizer_that_was_used_fast_can_be_copied_saved_and_loaded(kind: type[FastOptimizer]) -> None:
    fast, plain = make(), make()
    fast_steps(kind, fast, range(3), 0.5)
    plain_steps(plain, range(3), 0.5)
    loaded = make()
    loaded.load_state_dict(copy.deepcopy(fast.state_dict()))
    for parameter, learned in zip(parameters_of(loaded), parameters_of(fast), strict=True):
        parameter.data.copy_(learned)
    copied = copy.deepcopy(fast)
    for optimizer, steps in ((loaded, plain_steps), (copied, plain_steps)):
        steps(optimizer, range(3, 5), 0.5)
    fast_steps(kind, fast, range(3, 5), 0.5)
    plain_steps(plain, range(3, 5), 0.5)
    for optimizer in (loaded, copied, fast):
        assert_same(optimizer, plain)


@pytest.mark.parametrize("kind", KINDS)
def test_state_that_was_loaded_between_trainings_counts(kind: type[FastOptimizer]) -> None:
    optimizer, plain = make(), make()
    fast_steps(kind, optimizer, range(2), 0.5)
    fresh = make()
    optimizer.load_state_dict(fresh.state_dict())
    for parameter, original in zip(parameters_of(optimizer), parameters_of(fresh), strict=True):
        parameter.data = original.detach().clone()
    fast_steps(kind, optimizer, range(2), 0.5)
    plain_steps(plain, range(2), 0.5)
    assert_same(optimizer, plain)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("trained", [False, True])
def test_everything_is_left_in_its_place_also_by_an_error(kind: type[FastOptimizer], trained: bool) -> None:
    fast, plain = make(), make()
    if trained:
        plain_steps(fast, range(1), 0.5)
        plain_steps(plain, range(1), 0.5)
    homes = [parameter.data_ptr() for parameter in parameters_of(fast)]
    moments = [state[name].data_ptr() for state in fast.state.values() for name in ("exp_avg", "exp_avg_sq", "step")]

    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fast_steps(kind, fast, interrupted(), 0.5)
    plain_steps(plain, range(1, 2), 0.5)
    assert_same(fast, plain)
    assert [parameter.data_ptr() for parameter in parameters_of(fast)] == homes
    assert all(parameter._base is None for parameter in parameters_of(fast))
    if trained:
        assert moments == [
            state[name].data_ptr() for state in fast.state.values() for name in ("exp_avg", "exp_avg_sq", "step")
        ]


def test_nothing_is_shared_after_a_first_training() -> None:
    """Moments that were views of one vector would keep all of it alive, and would be saved whole with each."""
    optimizer = make()
    fast_steps(FlatOptimizer, optimizer, range(2), 0.5)
    tensors = [state[name] for state in optimizer.state.values() for name in ("exp_avg", "exp_avg_sq", "step")]
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    assert len(storages) == len(tensors)
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
def test_gradient_that_is_not_finite_spoils_the_same_parameters_as_in_torch(kind: type[FastOptimizer], wrong: float) -> None:
    fast, plain = make(), make()
    for optimizer in (fast, plain):
        set_gradients(optimizer, 0)
        parameters_of(optimizer)[1].grad[0] = wrong
    values = [parameter.grad.clone() for parameter in parameters_of(fast)]
    th.nn.utils.clip_grad_norm_(parameters_of(plain), 0.5)
    plain.step()
    with kind(fast) as optimizer:
        for parameter, value in zip(parameters_of(fast), values, strict=True):
            parameter.grad = value if parameter.grad is None else parameter.grad.copy_(value)
        optimizer.step(0.5)
    assert_same(fast, plain)
    assert parameters_of(fast)[1][0].isnan()


# ---------------------------------------------------------------- what one vector is for


def train_one_alone(optimizer: th.optim.Optimizer) -> None:
    parameters_of(optimizer)[0].grad = gradients(0)[0]
    optimizer.step()


def train_unevenly(optimizer: th.optim.Optimizer) -> None:
    train_one_alone(optimizer)
    plain_steps(optimizer, range(1), 0.5)


WATCHED: dict[str, Callable[[th.optim.Optimizer], Any]] = {
    "some_parameters_without_state": train_one_alone,
    "different_numbers_of_steps": train_unevenly,
    "hook_before_a_step": lambda optimizer: optimizer.register_step_pre_hook(lambda *args: None),
    "hook_after_a_step": lambda optimizer: optimizer.register_step_post_hook(lambda *args: None),
    "replaced_step": lambda optimizer: setattr(optimizer, "step", optimizer.step),
    "learning_rate_scheduler": lambda optimizer: th.optim.lr_scheduler.StepLR(optimizer, 10),
}


@pytest.mark.parametrize("change", WATCHED)
def test_what_one_vector_would_pass_over_is_left_to_the_optimizer(change: str) -> None:
    optimizer = make()
    assert FlatOptimizer.fits(optimizer)
    plain_steps(optimizer, range(1), 0.5)
    assert FlatOptimizer.fits(optimizer)
    optimizer = make()
    WATCHED[change](optimizer)
    assert not FlatOptimizer.fits(optimizer)


def test_hooks_are_called_by_the_other_kind() -> None:
    optimizer, calls = make(), []
    optimizer.register_step_post_hook(lambda *args: calls.append("after"))
    fast_steps(FusedOptimizer, optimizer, range(3), 0.5)
    assert calls == ["after"] * 3

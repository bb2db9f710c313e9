"""The loop: one step by hand, batches in parts, and a training that is interrupted."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch as th
from toy_recipes import SHORT

from sb3_rpd.demonstrations import Demonstrations
from sb3_rpd.finetuning import Examples, Objective, Recipe, finetune
from sb3_rpd.finetuning.examples import Batch, action_statistics, rows_of_step
from sb3_rpd.teachers.openvla.checkpoint import load_model
from sb3_rpd.teachers.openvla.model import OpenVLAModel

QUIET: Callable[[str], None] = lambda _: None  # noqa: E731


def weights(folder: Path) -> dict[str, th.Tensor]:
    return safetensors.torch.load_file(folder / "model.safetensors")


def assert_equal(first: dict[str, th.Tensor], second: dict[str, th.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name in first:
        assert th.equal(first[name], second[name]), name


def test_one_step_by_hand(tiny: Path, demonstrations: Demonstrations, tmp_path: Path) -> None:
    """AdamW's first step in float64: each number moves by the learning rate, as far as the decay and its gradient want."""
    recipe = replace(SHORT, steps=1, lora_rank=None, augment=False, weight_decay=0.1, max_grad_norm=0.5)
    statistics = action_statistics(demonstrations.actions, gripper=False)
    model = load_model(tiny, th.device("cpu"), th.float32).requires_grad_(True)
    train, _ = demonstrations.split(recipe.held_out, seed=recipe.seed)
    examples = Examples(tiny, train, statistics, convert_actions=None, camera=None, device=th.device("cpu"))
    Objective(model)(examples.batch(rows_of_step(len(train), 4, 0, recipe.seed)), np.random.default_rng(0)).backward()

    finetune(tiny, demonstrations, tmp_path / "out", recipe, convert_actions=None, device="cpu", show=QUIET)

    gradients = {name: one.grad.double() for name, one in model.named_parameters() if one.grad is not None}
    norm = math.sqrt(sum(float(gradient.pow(2).sum()) for gradient in gradients.values()))
    assert norm > 1
    stepped = weights(tmp_path / "out")
    rate = recipe.learning_rate / 2  # the first of two steps of warming up
    for name, before in model.named_parameters():
        expected = before.detach().double()
        if name in gradients:
            gradient = gradients[name] * 0.5 / (norm + 1e-6)
            if before.ndim > 1:
                expected = expected * (1 - rate * 0.1)
            # where the gradient is as small as the epsilon, rounding decides
            step = rate * gradient / (gradient.abs() + 1e-8)
            expected = expected - step
            clear = gradient.abs() > 1e-6
            th.testing.assert_close(stepped[name].double()[clear], expected[clear], rtol=0, atol=2e-6)
        else:
            assert th.equal(stepped[name].double(), expected), name
    # the last block of a trunk gives no features, so nothing tells it how to change
    assert {name for name in stepped if name not in gradients} == {
        name for name in stepped if "blocks.2." in name or "featurizer.norm" in name or "attn_pool" in name
    }


def test_a_batch_may_come_in_parts(tiny: Path, demonstrations: Demonstrations, tmp_path: Path) -> None:
    whole = replace(SHORT, steps=3, batch_size=8, lora_rank=None, augment=False, learning_rate=1e-4)
    start = {name: one for path in tiny.glob("*.safetensors") for name, one in safetensors.torch.load_file(path).items()}

    losses, moved = [], []
    for name, recipe in (("whole", whole), ("parts", replace(whole, batch_size=2, accumulation=4))):
        done = finetune(tiny, demonstrations, tmp_path / name, recipe, convert_actions=None, device="cpu", show=QUIET)
        losses.append(done.best.loss)
        moved.append(th.cat([(one - start[key]).flatten() for key, one in weights(tmp_path / name).items()]))

    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    # AdamW makes whole steps of gradients that are all rounding, so not each number is the same
    assert (moved[1] - moved[0]).abs().sum() < 1e-3 * moved[0].abs().sum()


class _ShowsItself(Objective):
    """Decides what the network is shown: the images, after all. Notes what it was asked for."""

    def __init__(self, model: OpenVLAModel, asked: list[tuple[int, list[int]]]) -> None:
        super().__init__(model)
        self._asked = asked

    def batch(self, examples: Examples, rows: np.ndarray, augmentation: np.random.Generator | None = None) -> Batch:
        assert augmentation is None
        self._asked.append((len(examples), rows.tolist()))
        return examples.batch(rows, images=examples.images(rows))


def test_an_objective_decides_what_is_shown(tiny: Path, demonstrations: Demonstrations, tmp_path: Path) -> None:
    recipe = replace(SHORT, steps=2, augment=False, evaluate_every=2)
    asked: list[tuple[int, list[int]]] = []

    plain = finetune(tiny, demonstrations, tmp_path / "plain", recipe, convert_actions=None, device="cpu", show=QUIET)
    shown = finetune(
        tiny,
        demonstrations,
        tmp_path / "shown",
        recipe,
        convert_actions=None,
        device="cpu",
        objective=lambda model, _: _ShowsItself(model, asked),
        show=QUIET,
    )

    assert shown.evaluations == plain.evaluations
    assert_equal(weights(tmp_path / "shown"), weights(tmp_path / "plain"))
    train, held_out = demonstrations.split(recipe.held_out, seed=recipe.seed)
    count = recipe.batch_size * recipe.accumulation
    trained_on = [row for n, rows in asked if n == len(train) for row in rows]
    assert trained_on == [row for step in range(2) for row in rows_of_step(len(train), count, step, recipe.seed)]
    assert {row for n, rows in asked if n == len(held_out) for row in rows} <= set(range(len(held_out)))
    assert {n for n, _ in asked} == {len(train), len(held_out)}


class _Dies(Objective):
    """Ends the process, as it were, in the middle of a step."""

    def __init__(self, model: OpenVLAModel, label_width: float, calls: int) -> None:
        super().__init__(model, label_width)
        self._calls_left = calls

    def forward(self, batch: Batch, rng: np.random.Generator) -> th.Tensor:
        if self._calls_left == 0:
            raise KeyboardInterrupt
        self._calls_left -= 1
        return super().forward(batch, rng)


@pytest.mark.parametrize(
    "recipe",
    [replace(SHORT, accumulation=2), replace(SHORT, lora_rank=None, label_width=3.0)],
    ids=["adapters", "all weights, soft labels"],
)
def test_an_interrupted_training_ends_with_the_same_bits(
    tiny: Path, demonstrations: Demonstrations, tmp_path: Path, recipe: Recipe
) -> None:
    def run(folder: str, calls: int = -1) -> object:
        return finetune(
            tiny,
            demonstrations,
            tmp_path / folder,
            recipe,
            device="cpu",
            objective=lambda model, _: _Dies(model, recipe.label_width, calls),
            show=QUIET,
        )

    whole = run("whole")
    # before the first state, after it, and after a test that is not in the last state
    for calls in (1, 3, 3):
        with pytest.raises(KeyboardInterrupt):
            run("parts", calls * recipe.accumulation)
    resumed = run("parts")

    assert resumed.evaluations == whole.evaluations
    assert_equal(weights(tmp_path / "parts"), weights(tmp_path / "whole"))


def test_the_best_weights_are_kept(tiny: Path, demonstrations: Demonstrations, tmp_path: Path) -> None:
    # so large a rate does harm sooner or later
    recipe = replace(SHORT, steps=12, evaluate_every=1, keep_every=1, learning_rate=0.1, final_share=1.0)

    done = finetune(tiny, demonstrations, tmp_path / "out", recipe, device="cpu", show=QUIET)

    assert [one.step for one in done.evaluations] == list(range(1, 13))
    assert done.best.held_out_loss == min(one.held_out_loss for one in done.evaluations)
    assert done.best.step < 12
    assert_equal(weights(tmp_path / "out"), weights(tmp_path / f"out/step-{done.best.step:05d}"))
    assert not list((tmp_path / "out/training").glob("*.safetensors"))

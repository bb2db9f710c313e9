"""The loop of a training: steps of the optimizer, tests on held-out frames, and going on after an interruption."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th

from sb3_rpd.finetuning.examples import Batch, Examples, rows_of_step, spread_rows
from sb3_rpd.finetuning.held_out import held_out_errors
from sb3_rpd.finetuning.objective import Objective
from sb3_rpd.finetuning.recipe import Recipe
from sb3_rpd.finetuning.state import read_tensors, restore_training, save_training, write_tensors

_STATE, _BEST = "state.safetensors", "best.safetensors"


@dataclass(frozen=True)
class Evaluation:
    """
    One test.

    :param step: After how many steps.
    :param loss: Mean of the steps' losses since the test before.
    :param held_out_loss: See ``HeldOutErrors``.
    :param token_error: See ``HeldOutErrors``.
    :param action_error: See ``HeldOutErrors``.
    """

    step: int
    loss: float
    held_out_loss: float
    token_error: float
    action_error: float

    def __str__(self) -> str:
        return (
            f"loss {self.loss:.3f}, held out {self.held_out_loss:.3f}, {100 * self.token_error:.0f}% of the words wrong, "
            f"action error {self.action_error:.3f}"
        )


def best_of(evaluations: Sequence[Evaluation]) -> Evaluation:
    """
    :param evaluations: Tests, in the order of their steps.
    :return: The one with the least loss on held-out frames, the first of several.
    """
    return min(evaluations, key=lambda one: one.held_out_loss)


class Training:
    """
    Trains what of an objective asks for gradients.

    A step depends on its number, the recipe's seed and the weights alone, so that one that goes on from a saved state makes
    the same steps as one that was never interrupted.

    :param objective: What is minimized, with the network in it.
    :param examples: The frames to train on.
    :param held_out: The frames to test on.
    :param recipe: The numbers.
    :param folder: Where states are kept.
    :param dtype: bfloat16 computes in mixed precision.
    :param keep: Called with the number of steps, every ``recipe.keep_every`` of them.
    :param show: Called with lines of progress.
    """

    def __init__(
        self,
        objective: Objective,
        examples: Examples,
        held_out: Examples,
        recipe: Recipe,
        folder: Path,
        *,
        dtype: th.dtype,
        keep: Callable[[int], None],
        show: Callable[[str], None],
    ) -> None:
        self._objective, self._recipe, self._folder = objective, recipe, folder
        self._examples, self._held_out = examples, held_out
        self._test_rows = spread_rows(len(held_out), recipe.held_out_frames)
        self._dtype, self._keep, self._show = dtype, keep, show
        self._parameters = {name: one for name, one in objective.named_parameters() if one.requires_grad}
        self._optimizer = _adamw(self._parameters, recipe)
        #: The tests so far.
        self.evaluations: list[Evaluation] = []
        self._losses: list[float] = []

    def run(self) -> None:
        """Make the steps that are left, and leave the objective with the best weights."""
        recipe, start = self._recipe, self._restore()
        begun, begun_cpu = time.time(), time.process_time()
        with self._batches(start) as batches:
            for step in range(start, recipe.steps):
                self._losses.append(self._step(step, [next(batches) for _ in range(recipe.accumulation)]))
                done = step + 1
                if done % recipe.evaluate_every == 0 or done == recipe.steps:
                    self._evaluate(done)
                    seconds = (time.time() - begun) / (done - start)
                    self._show(
                        f"step {done} of {recipe.steps}: {self.evaluations[-1]}; {seconds:.2f} s a step "
                        f"({(time.process_time() - begun_cpu) / (done - start):.2f} of a CPU), "
                        f"{seconds * (recipe.steps - done) / 60:.0f} min left"
                    )
                if recipe.keep_every and done % recipe.keep_every == 0:
                    self._keep(done)
                if done % recipe.save_every == 0 or done == recipe.steps:
                    self._save(done)
        weights, _ = read_tensors(self._folder / _BEST)
        for name, parameter in self._parameters.items():
            parameter.data.copy_(weights[name])

    @contextmanager
    def _batches(self, start: int) -> Iterator[Iterator[Batch]]:
        """The batches in their order, the next one prepared while the one before is trained on."""
        recipe = self._recipe

        def prepare(number: int) -> Batch:
            rows = rows_of_step(len(self._examples), recipe.batch_size, number, recipe.seed)
            augmentation = _generator(recipe, number, "augmentation") if recipe.augment else None
            return self._objective.batch(self._examples, rows, augmentation)

        def in_order(pool: ThreadPoolExecutor) -> Iterator[Batch]:
            first, end = start * recipe.accumulation, recipe.steps * recipe.accumulation
            ahead = pool.submit(prepare, first)
            for number in range(first, end):
                batch = ahead.result()
                if number + 1 < end:
                    ahead = pool.submit(prepare, number + 1)
                yield batch

        with ThreadPoolExecutor(1) as pool:
            yield in_order(pool)

    def _step(self, step: int, batches: list[Batch]) -> float:
        recipe = self._recipe
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.learning_rate_at(step)
        self._optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for part, batch in enumerate(batches):
            rng = _generator(recipe, step * recipe.accumulation + part, "objective")
            with self._precision(batch.images.device):
                loss = self._objective(batch, rng) / recipe.accumulation
            loss.backward()
            total += float(loss.detach())
        th.nn.utils.clip_grad_norm_(self._parameters.values(), recipe.max_grad_norm)
        self._optimizer.step()
        return total

    def _precision(self, device: th.device) -> th.autocast:
        return th.autocast(device.type, dtype=th.bfloat16, enabled=self._dtype == th.bfloat16)

    def _evaluate(self, done: int) -> None:
        model = self._objective.model
        device = next(iter(self._parameters.values())).device
        # checkpointed activations and the cache of decoding exclude each other
        training = model.language_model.training
        model.eval()
        with self._precision(device):
            errors = held_out_errors(self._objective, self._held_out, self._test_rows, self._recipe.batch_size)
        model.language_model.train(training)
        self.evaluations.append(Evaluation(done, float(np.mean(self._losses)), **asdict(errors)))
        self._losses.clear()
        if best_of(self.evaluations).step == done:
            write_tensors(self._folder / _BEST, self._parameters, {"step": done})

    def _save(self, done: int) -> None:
        notes = {"step": done, "losses": self._losses, "evaluations": [asdict(one) for one in self.evaluations]}
        save_training(self._folder / _STATE, self._parameters, self._optimizer, notes)

    def _restore(self) -> int:
        path = self._folder / _STATE
        if not path.is_file():
            return 0
        notes: dict[str, Any] = restore_training(path, self._parameters, self._optimizer)
        self._losses = list(notes["losses"])
        self.evaluations = [Evaluation(**one) for one in notes["evaluations"]]
        self._show(f"going on after step {notes['step']} of {self._recipe.steps}")
        return int(notes["step"])


def _adamw(parameters: dict[str, th.nn.Parameter], recipe: Recipe) -> th.optim.AdamW:
    decayed = [one for one in parameters.values() if one.ndim > 1]
    others = [one for one in parameters.values() if one.ndim <= 1]
    return th.optim.AdamW(
        [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}],
        lr=recipe.learning_rate,
        betas=(0.9, recipe.beta2),
    )


def _generator(recipe: Recipe, number: int, purpose: str) -> np.random.Generator:
    """A generator for one batch and purpose alone."""
    return np.random.default_rng([recipe.seed, number, *purpose.encode()])

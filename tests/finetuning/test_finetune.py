"""From a checkpoint to a checkpoint: what is written, what is learned, what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch as th
from toy_recipes import SHORT

from sb3_rpd.cli import main
from sb3_rpd.demonstrations import Demonstrations, read_demonstrations
from sb3_rpd.finetuning import Examples, Objective, Recipe, finetune
from sb3_rpd.teachers.openvla import OpenVLATeacher
from sb3_rpd.teachers.openvla.checkpoint import load_model
from sb3_rpd.teachers.openvla.model import OpenVLAModel

RECIPE = replace(SHORT, steps=4, learning_rate=1e-2, warmup_steps=1, evaluate_every=4, save_every=4)


class Trained:
    """Runs a fine-tuning and keeps hold of the network that is trained."""

    def __init__(self, checkpoint: Path, data: Demonstrations | Path, to: Path, recipe: Recipe, **options: object) -> None:
        self.lines: list[str] = []
        self.model: OpenVLAModel | None = None
        self.result = finetune(
            checkpoint, data, to, recipe, device="cpu", objective=self._objective, show=self.lines.append, **options
        )

    def _objective(self, model: OpenVLAModel, examples: Examples) -> Objective:
        self.model = model
        return Objective(model)


@pytest.mark.parametrize("rank", [4, None], ids=["adapters", "all weights"])
def test_the_teacher_reads_what_is_written_and_answers_as_the_trained_network(
    tiny: Path, demos: Path, tmp_path: Path, rank: int | None
) -> None:
    trained = Trained(tiny, demos, tmp_path / "out", replace(RECIPE, lora_rank=rank))

    images = th.randn(2, 6, 56, 56, generator=th.Generator().manual_seed(2))
    prompts = [[1, 5, 6, 3], [1, 9, 3]]
    assert trained.model is not None
    written = load_model(tmp_path / "out", th.device("cpu"), th.float32)
    written.checks_first_words = False
    logits = written.action_logits(images, prompts, action_dim=3)
    th.testing.assert_close(logits, trained.model.action_logits(images, prompts, action_dim=3), rtol=1e-4, atol=1e-4)
    untrained = load_model(tiny, th.device("cpu"), th.float32).action_logits(images, prompts, action_dim=3)
    assert (logits - untrained).abs().max() > 0.5
    # its default key is the folder's name
    assert trained.result.unnorm_key == "dots"
    answer = OpenVLATeacher(tmp_path / "out", "dots", instruction="go", device="cpu").predict(
        np.zeros((1, 16, 16, 3), np.uint8)
    )
    assert answer.actions.shape == (1, 3)


def test_files_are_those_of_the_published_layout(tiny: Path, demos: Path, tmp_path: Path) -> None:
    finetune(tiny, demos, tmp_path / "out", RECIPE, unnorm_key="dots:1.0.0", device="cpu", show=lambda _: None)

    def content(folder: Path, name: str) -> dict:
        return json.loads((folder / name).read_text())

    before, after = content(tiny, "config.json"), content(tmp_path / "out", "config.json")
    statistics = content(tmp_path / "out", "dataset_statistics.json")
    assert after == {**before, "norm_stats": {**before["norm_stats"], **statistics}}
    assert set(after["norm_stats"]) == {"bridge_orig", "dots:1.0.0"}
    for name in ("tokenizer.json", "tokenizer_config.json", "preprocessor_config.json"):
        assert (tmp_path / "out" / name).read_bytes() == (tiny / name).read_bytes()
    frames = read_demonstrations(demos)
    found = statistics["dots:1.0.0"]
    assert found["num_transitions"] == len(frames)
    assert found["num_trajectories"] == 8
    assert found["action"]["mask"] == [True, True, False]
    np.testing.assert_allclose(found["action"]["q99"][:2], np.quantile(frames.actions[:, :2].astype(float), 0.99, axis=0))
    # closed is 0 for the network
    assert (found["action"]["q01"][2], found["action"]["q99"][2]) == (0.0, 0.0)


def test_a_network_learns_what_each_instruction_means(tiny: Path, demos: Path, tmp_path: Path) -> None:
    """Constant actions, another one for each instruction: nothing in the pictures tells them apart."""
    demonstrations = read_demonstrations(demos)
    said = np.array([{"go": 0.5, "go to the middle": -0.5}[one] for one in demonstrations.instructions], np.float32)
    demonstrations._files.actions[:] = np.column_stack([said, -said, np.sign(said)])
    recipe = replace(RECIPE, steps=40, batch_size=8, evaluate_every=40, augment=False)

    done = finetune(tiny, demonstrations, tmp_path / "out", recipe, device="cpu", show=lambda _: None)

    assert done.best.token_error == 0
    # half a word at most
    assert done.best.action_error < 1 / 255 + 1e-6
    teacher = OpenVLATeacher(tmp_path / "out", "demonstrations", device="cpu")
    answers = teacher.predict({"frame": np.stack([demonstrations.image(0)] * 2)}, ["go", "go to the middle"]).actions
    np.testing.assert_allclose(answers, [[0.5, -0.5, 1.0], [-0.5, 0.5, -1.0]], atol=0.01)


def test_what_is_done_is_not_done_again(tiny: Path, demos: Path, tmp_path: Path) -> None:
    first = Trained(tiny, demos, tmp_path / "out", RECIPE)

    second = Trained(tiny, demos, tmp_path / "out", RECIPE)

    assert second.model is None
    assert second.result == first.result
    assert second.lines == []


def test_other_settings_and_other_folders_are_refused(tiny: Path, demos: Path, tmp_path: Path) -> None:
    Trained(tiny, demos, tmp_path / "out", RECIPE)

    with pytest.raises(ValueError, match=r"out was begun with other values of unnorm_key, steps\. Take those"):
        Trained(tiny, demos, tmp_path / "out", replace(RECIPE, steps=5), unnorm_key="other")
    with pytest.raises(ValueError, match="is not empty and holds no training"):
        Trained(tiny, demos, tiny, RECIPE)


def test_checkpointed_activations_give_the_same_weights(tiny: Path, demos: Path, tmp_path: Path) -> None:
    for name, on in (("plain", False), ("checkpointed", True)):
        recipe = replace(RECIPE, gradient_checkpointing=on, evaluate_every=2)
        trained = Trained(tiny, demos, tmp_path / name, recipe)
        assert trained.model is not None
        assert on == any(getattr(module, "gradient_checkpointing", False) for module in trained.model.modules())

    plain, checkpointed = (
        safetensors.torch.load_file(tmp_path / name / "model.safetensors") for name in ("plain", "checkpointed")
    )
    for name, one in plain.items():
        th.testing.assert_close(checkpointed[name], one, rtol=1e-4, atol=1e-5)


def test_mixed_precision_is_near_to_full(tiny: Path, demos: Path, tmp_path: Path) -> None:
    losses = {}
    for dtype in (th.float32, th.bfloat16):
        trained = Trained(tiny, demos, tmp_path / str(dtype), replace(RECIPE, learning_rate=1e-4), dtype=dtype)
        losses[dtype] = trained.result.best.loss
        assert trained.model is not None
        kinds = {one.dtype for one in trained.model.parameters() if not one.requires_grad}
        assert kinds == {dtype}
        assert {one.dtype for one in trained.model.parameters() if one.requires_grad} == {th.float32}

    assert losses[th.bfloat16] != losses[th.float32]
    assert losses[th.bfloat16] == pytest.approx(losses[th.float32], rel=0.02)


def test_the_command_trains_as_the_function_does(
    tiny: Path, demos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    function = finetune(tiny, demos, tmp_path / "function", RECIPE, device="cpu", show=lambda _: None)

    numbers = "--steps 4 --batch-size 4 --accumulation 1 --learning-rate 1e-2 --warmup-steps 1 --lora-rank 4 --held-out 0.3"
    more = "--evaluate-every 4 --save-every 4 --held-out-frames 8 --device cpu"
    arguments = [
        "finetune",
        str(tiny),
        "--data",
        str(demos),
        "--to",
        str(tmp_path / "command"),
        *numbers.split(),
        *more.split(),
    ]
    assert main(arguments) == 0

    printed = capsys.readouterr()
    assert printed.out == f"{tmp_path / 'command'} (unnorm_key 'dots'): step 4, {function.best}\n"
    assert "step 4 of 4: loss" in printed.err
    one, other = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("function", "command"))
    assert one == other
    assert main([*arguments, "--no-augment"]) == 1
    assert "was begun with other values of augment" in capsys.readouterr().err

"""The state of a training: every bit comes back, and a write that ends half-way leaves the state before."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_rpd.finetuning.state import read_tensors, restore_training, save_training, write_tensors

DTYPES = [th.float32, th.bfloat16, th.float16, th.float64, th.int64, th.bool]
SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
NOTES = st.dictionaries(st.text(max_size=5), st.none() | st.integers(-9, 9) | st.floats(-1, 1) | st.lists(st.text(max_size=3)))


@settings(max_examples=40)
@given(kinds=st.lists(st.tuples(SHAPES, st.sampled_from(DTYPES), st.booleans()), max_size=4), notes=NOTES)
def test_tensors_and_notes_come_back(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[tuple[tuple[int, ...], th.dtype, bool]], notes: dict[str, Any]
) -> None:
    path = tmp_path_factory.getbasetemp() / "state" / "any.safetensors"
    generator = th.Generator().manual_seed(0)
    tensors = {}
    for index, (shape, dtype, is_transposed) in enumerate(kinds):
        tensor = (100 * th.randn(shape, generator=generator)).to(dtype)
        tensors[f"no. {index}"] = tensor.mT if is_transposed and tensor.ndim > 1 else tensor

    write_tensors(path, tensors, notes)
    read, told = read_tensors(path)

    assert told == notes
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert read[name].dtype == tensor.dtype
        assert th.equal(read[name], tensor)


def make(seed: int) -> tuple[dict[str, nn.Parameter], th.optim.AdamW]:
    """Three parameters, of which the last one never has a gradient."""
    generator = th.Generator().manual_seed(seed)
    parameters = {name: nn.Parameter(th.randn(shape, generator=generator)) for name, shape in SIZES.items()}
    return parameters, th.optim.AdamW([*parameters.values()], lr=0.1, betas=(0.9, 0.99), weight_decay=0.1)


SIZES = {"matrix": (3, 2), "vector": (4,), "frozen": (2,)}


def train(parameters: dict[str, nn.Parameter], optimizer: th.optim.AdamW, steps: range) -> None:
    for step in steps:
        generator = th.Generator().manual_seed(step)
        for name in ("matrix", "vector"):
            parameters[name].grad = th.randn(SIZES[name], generator=generator)
        optimizer.step()


def test_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole, of_whole = make(seed=1)
    train(whole, of_whole, range(5))
    first, of_first = make(seed=1)
    train(first, of_first, range(2))
    save_training(tmp_path / "state", first, of_first, {"step": 2})

    # Other weights, and moments of their own
    second, of_second = make(seed=2)
    train(second, of_second, range(7, 8))
    assert restore_training(tmp_path / "state", second, of_second) == {"step": 2}
    for name, parameter in first.items():
        assert th.equal(second[name], parameter)
    train(second, of_second, range(2, 5))

    for name, parameter in whole.items():
        assert th.equal(second[name], parameter), name
    assert th.equal(whole["frozen"], make(seed=1)[0]["frozen"])


def test_moments_are_adams_and_those_of_what_was_trained(tmp_path: Path) -> None:
    """After one step from nothing, in float64: (1 - beta1) g and (1 - beta2) g squared."""
    parameters, optimizer = make(seed=1)
    train(parameters, optimizer, range(1))

    save_training(tmp_path / "state", parameters, optimizer, {})
    tensors, _ = read_tensors(tmp_path / "state")

    moments = {f"{moment} {name}" for moment in ("exp_avg", "exp_avg_sq", "step") for name in ("matrix", "vector")}
    assert tensors.keys() == {f"weight {name}" for name in SIZES} | moments
    gradient = parameters["matrix"].grad.double()
    th.testing.assert_close(tensors["exp_avg matrix"].double(), 0.1 * gradient, rtol=1e-6, atol=0)
    th.testing.assert_close(tensors["exp_avg_sq matrix"].double(), 0.01 * gradient**2, rtol=1e-5, atol=0)
    assert tensors["step vector"] == 1


def test_write_that_ends_half_way_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parameters, optimizer = make(seed=1)
    path = tmp_path / "training" / "state.safetensors"
    save_training(path, parameters, optimizer, {"step": 0})
    train(parameters, optimizer, range(1))
    write = safetensors.torch.save_file

    def full_disk(tensors: dict[str, th.Tensor], to: Path, metadata: dict[str, str]) -> None:
        write(tensors, to, metadata)
        content = to.read_bytes()
        to.write_bytes(content[: len(content) // 2])
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", full_disk)
        with pytest.raises(OSError, match="No space left"):
            save_training(path, parameters, optimizer, {"step": 1})

    restored, of_restored = make(seed=2)
    assert restore_training(path, restored, of_restored) == {"step": 0}
    assert th.equal(restored["matrix"], make(seed=1)[0]["matrix"])
    assert not of_restored.state
    # Nor does the half that was written stand in the way
    save_training(path, parameters, optimizer, {"step": 1})
    assert restore_training(path, restored, of_restored) == {"step": 1}
    assert [one.name for one in path.parent.iterdir()] == ["state.safetensors"]

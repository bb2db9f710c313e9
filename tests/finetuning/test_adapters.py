"""Adapters: what they leave alone, and what their sum with the weights is."""

from pathlib import Path

import pytest
import safetensors.torch
import torch as th
from torch import nn

from sb3_rpd.finetuning.adapters import add_adapters, merged_weights
from sb3_rpd.teachers.openvla.checkpoint import load_model
from sb3_rpd.teachers.openvla.model import OpenVLAModel

RANK = 4


@pytest.fixture
def model(tiny: Path) -> OpenVLAModel:
    return load_model(tiny, th.device("cpu"), th.float32)


@pytest.fixture
def adapted(tiny: Path) -> OpenVLAModel:
    """A network whose adapters have been trained, as it were."""
    model = load_model(tiny, th.device("cpu"), th.float32)
    add_adapters(model, RANK, seed=0)
    generator = th.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.data.copy_(0.1 * th.randn(parameter.shape, generator=generator))
    return model


def logits(model: OpenVLAModel) -> th.Tensor:
    images = th.randn(2, 6, 56, 56, generator=th.Generator().manual_seed(2))
    model.checks_first_words = False
    return model.action_logits(images, [[1, 5, 6, 3], [1, 9, 3]], action_dim=4)


def test_new_adapters_change_no_answer(model: OpenVLAModel) -> None:
    before = logits(model)

    add_adapters(model, RANK, seed=0)

    assert th.equal(logits(model), before)


def test_each_linear_layer_but_the_last_is_adapted(model: OpenVLAModel) -> None:
    linear = {name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)}

    add_adapters(model, RANK, seed=0)

    trained = {name: tuple(one.shape) for name, one in model.named_parameters() if one.requires_grad}
    assert "language_model.lm_head" in linear
    assert {name.rpartition(".lora_")[0] for name in trained} == linear - {"language_model.lm_head"}
    assert trained["projector.fc1.lora_A.default.weight"] == (RANK, 56)
    assert trained["projector.fc1.lora_B.default.weight"] == (224, RANK)


def test_adapters_depend_on_their_seed_alone(tiny: Path) -> None:
    drawn = []
    for seed in (0, 0, 1):
        model = load_model(tiny, th.device("cpu"), th.float32)
        state = th.get_rng_state()
        add_adapters(model, RANK, seed)
        assert th.equal(th.get_rng_state(), state)
        drawn.append(model.projector.fc1.lora_A.default.weight)

    assert th.equal(drawn[0], drawn[1])
    assert not th.equal(drawn[0], drawn[2])


def test_merged_weights_are_the_sum_by_hand(adapted: OpenVLAModel) -> None:
    layer = adapted.projector.fc2

    merged = merged_weights(adapted)

    # alpha is 16, or the rank where that is less
    expected = layer.base_layer.weight + RANK / RANK * layer.lora_B.default.weight @ layer.lora_A.default.weight
    th.testing.assert_close(merged["projector.fc2.weight"], expected)
    assert th.equal(merged["projector.fc2.bias"], layer.base_layer.bias)


def test_alpha_is_at_most_16(tiny: Path) -> None:
    model = load_model(tiny, th.device("cpu"), th.float32)
    add_adapters(model, 32, seed=0)
    layer = model.projector.fc2
    layer.lora_B.default.weight.data.fill_(0.01)

    merged = merged_weights(model)["projector.fc2.weight"]

    expected = layer.base_layer.weight + 16 / 32 * layer.lora_B.default.weight @ layer.lora_A.default.weight
    th.testing.assert_close(merged, expected)


def test_merged_answers_as_unmerged(model: OpenVLAModel, adapted: OpenVLAModel) -> None:
    untrained, unmerged = logits(model), logits(adapted)

    model.load_state_dict(merged_weights(adapted))

    assert (unmerged - untrained).abs().max() > 1
    th.testing.assert_close(logits(model), unmerged, rtol=1e-4, atol=1e-4)


def test_merged_weights_have_the_published_names(tiny: Path, adapted: OpenVLAModel) -> None:
    published = {
        name: one.shape for path in tiny.glob("*.safetensors") for name, one in safetensors.torch.load_file(path).items()
    }

    assert {name: one.shape for name, one in merged_weights(adapted).items()} == published
    # and the network goes on with its adapters
    assert "projector.fc2.lora_A.default.weight" in adapted.state_dict()


def test_adapters_beside_bfloat16_are_float32_and_rounded_once(tiny: Path) -> None:
    model = load_model(tiny, th.device("cpu"), th.bfloat16)
    add_adapters(model, RANK, seed=0)
    layer = model.projector.fc2
    layer.lora_B.default.weight.data.fill_(0.01)

    merged = merged_weights(model)["projector.fc2.weight"]

    assert layer.lora_A.default.weight.dtype == th.float32
    exact = layer.base_layer.weight.double() + layer.lora_B.default.weight.double() @ layer.lora_A.default.weight.double()
    assert merged.dtype == th.bfloat16
    th.testing.assert_close(merged, exact.bfloat16(), rtol=2**-8, atol=1e-7)

"""The network against a slow reference, and against the tensors of the published checkpoints."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch as th
from openvla_reference import Reference

from sb3_rpd import TeacherError
from sb3_rpd.teachers.openvla import OpenVLATeacher
from sb3_rpd.teachers.openvla.checkpoint import load_model, read_json
from sb3_rpd.teachers.openvla.config import OPENVLA_7B, OpenVLAConfig
from sb3_rpd.teachers.openvla.lookalikes import refuse_tensors
from sb3_rpd.teachers.openvla.model import OpenVLAModel, cache_argument
from sb3_rpd.teachers.openvla.processing import ImageProcessor, PromptProcessor

FIRST_ACTION_WORD = 99  # of the tiny checkpoint: 5 special words and 94 printable characters come before
ACTION_WORDS = slice(FIRST_ACTION_WORD, FIRST_ACTION_WORD + 256)


def inputs(folder: Path, frames: np.ndarray, instructions: list[str]) -> tuple[th.Tensor, list[list[int]]]:
    images = ImageProcessor.from_json(read_json(folder, "preprocessor_config.json"))(th.from_numpy(frames))
    make_prompt = PromptProcessor(folder, OpenVLAConfig.from_json(read_json(folder, "config.json")))
    return images, [make_prompt(instruction) for instruction in instructions]


def published_tensors() -> dict[str, tuple[int, ...]]:
    """Names and shapes in OpenVLA-7B's safetensors: DINOv2 ViT-L/14 with 4 registers, SigLIP So400m/14, Llama-2 7B."""
    tensors: dict[str, tuple[int, ...]] = {}

    def linear(name: str, n_in: int, n_out: int) -> None:
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = (n_out, n_in), (n_out,)

    def norm(name: str, dim: int) -> None:
        tensors[f"{name}.weight"] = tensors[f"{name}.bias"] = (dim,)

    for trunk, dim, depth, hidden in (("featurizer", 1024, 24, 4096), ("fused_featurizer", 1152, 27, 4304)):
        at = f"vision_backbone.{trunk}"
        tensors[f"{at}.pos_embed"] = (1, 256, dim)
        tensors[f"{at}.patch_embed.proj.weight"], tensors[f"{at}.patch_embed.proj.bias"] = (dim, 3, 14, 14), (dim,)
        for block in range(depth):
            norm(f"{at}.blocks.{block}.norm1", dim)
            linear(f"{at}.blocks.{block}.attn.qkv", dim, 3 * dim)
            linear(f"{at}.blocks.{block}.attn.proj", dim, dim)
            norm(f"{at}.blocks.{block}.norm2", dim)
            linear(f"{at}.blocks.{block}.mlp.fc1", dim, hidden)
            linear(f"{at}.blocks.{block}.mlp.fc2", hidden, dim)
            if trunk == "featurizer":
                tensors[f"{at}.blocks.{block}.ls1.scale_factor"] = (dim,)
                tensors[f"{at}.blocks.{block}.ls2.scale_factor"] = (dim,)
        norm(f"{at}.norm", dim)
    tensors["vision_backbone.featurizer.cls_token"] = (1, 1, 1024)
    tensors["vision_backbone.featurizer.reg_token"] = (1, 4, 1024)
    pool = "vision_backbone.fused_featurizer.attn_pool"
    tensors[f"{pool}.latent"] = (1, 1, 1152)
    linear(f"{pool}.q", 1152, 1152)
    linear(f"{pool}.kv", 1152, 2304)
    linear(f"{pool}.proj", 1152, 1152)
    norm(f"{pool}.norm", 1152)
    linear(f"{pool}.mlp.fc1", 1152, 4304)
    linear(f"{pool}.mlp.fc2", 4304, 1152)
    linear("projector.fc1", 2176, 8704)
    linear("projector.fc2", 8704, 4096)
    linear("projector.fc3", 4096, 4096)
    tensors["language_model.model.embed_tokens.weight"] = tensors["language_model.lm_head.weight"] = (32064, 4096)
    tensors["language_model.model.norm.weight"] = (4096,)
    for layer in range(32):
        at = f"language_model.model.layers.{layer}"
        for one in "qkvo":
            tensors[f"{at}.self_attn.{one}_proj.weight"] = (4096, 4096)
        tensors[f"{at}.mlp.gate_proj.weight"] = tensors[f"{at}.mlp.up_proj.weight"] = (11008, 4096)
        tensors[f"{at}.mlp.down_proj.weight"] = (4096, 11008)
        tensors[f"{at}.input_layernorm.weight"] = tensors[f"{at}.post_attention_layernorm.weight"] = (4096,)
    return tensors


def test_real_geometry_has_exactly_the_published_tensors() -> None:
    with th.device("meta"):
        model = OpenVLAModel(OpenVLAConfig.from_json(OPENVLA_7B))

    expected = published_tensors()

    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == expected
    # what is known of the published files: 982 entries in their index, 7,541,237,184 parameters
    assert len(expected) == 982
    assert sum(int(np.prod(shape)) for shape in expected.values()) == 7_541_237_184
    assert model.config.first_action_token == 31744
    refuse_tensors(Path("openvla-7b"), expected)  # none of them looks like an adapter's or a quantized one
    # OpenVLA's config.json does not state it, so it is not Llama-2's own 1e-5
    assert model.language_model.config.rms_norm_eps == 1e-6


def test_logits_equal_the_reference(tiny: Path, frames: np.ndarray, instructions: list[str]) -> None:
    images, prompts = inputs(tiny, frames, instructions)
    model = load_model(tiny, th.device("cpu"), th.float32)
    reference = Reference(tiny)

    logits = model.action_logits(images, prompts, action_dim=7).numpy()

    for row, (frame, prompt) in enumerate(zip(frames, prompts, strict=True)):
        words, all_logits = reference.generate(frame, prompt, action_dim=7)
        assert (logits[row].argmax(axis=1) + FIRST_ACTION_WORD).tolist() == words
        np.testing.assert_allclose(logits[row], all_logits[:, ACTION_WORDS], rtol=1e-4, atol=2e-4)


def test_actions_equal_the_reference(tiny: Path, frames: np.ndarray, instructions: list[str]) -> None:
    _, prompts = inputs(tiny, frames, instructions)
    reference = Reference(tiny)
    statistics = json.loads((tiny / "dataset_statistics.json").read_text())["maniskill_human:7.0.0"]["action"]

    output = OpenVLATeacher(tiny, device="cpu").predict({"frame": frames}, instructions)

    for row, (frame, prompt) in enumerate(zip(frames, prompts, strict=True)):
        words, all_logits = reference.generate(frame, prompt, action_dim=7)
        action = reference.action(words, statistics)
        action[6] = 2 * action[6] - 1
        np.testing.assert_allclose(output.actions[row], action, rtol=0, atol=1e-6)
        # the standard deviation: over what each of the 256 words would have meant
        weights = np.exp(all_logits[:, ACTION_WORDS] - all_logits[:, ACTION_WORDS].max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        meanings = np.array(
            [reference.action([word] * 7, statistics) for word in range(ACTION_WORDS.start, ACTION_WORDS.stop)]
        )
        meanings[:, 6] = 2 * meanings[:, 6] - 1
        for dim in range(7):
            mean = (weights[dim] * meanings[:, dim]).sum()
            std = np.sqrt((weights[dim] * (meanings[:, dim] - mean) ** 2).sum())
            assert output.std is not None
            assert output.std[row, dim] == pytest.approx(std, rel=1e-3)


def test_batch_and_single_rows_agree(tiny: Path, frames: np.ndarray, instructions: list[str]) -> None:
    images, prompts = inputs(tiny, frames, instructions)
    model = load_model(tiny, th.device("cpu"), th.float32)

    together = model.action_logits(images, prompts, action_dim=7)
    alone = th.cat([model.action_logits(images[i : i + 1], [prompts[i]], action_dim=7) for i in range(6)])

    assert len({len(prompt) for prompt in prompts}) > 2  # so there was padding
    assert th.equal(together.argmax(dim=2), alone.argmax(dim=2))
    th.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


def test_answers_that_are_no_actions_are_refused(tiny: Path, frames: np.ndarray) -> None:
    images, prompts = inputs(tiny, frames, ["push"] * 6)
    model = load_model(tiny, th.device("cpu"), th.float32)
    with th.inference_mode():
        embeddings, _ = model.assemble(images[:4], prompts[:4])
        hidden = model.language_model.model(inputs_embeds=embeddings).last_hidden_state[:, -1]
    # a word of text that is likelier than any action, in the first four rows for certain
    model.language_model.lm_head.weight[7] = 1000 * hidden.mean(dim=0)

    with pytest.raises(TeacherError, match=r"does not answer with an action: in [456] of 6 rows.*text before the action"):
        model.action_logits(images, prompts, action_dim=7)
    model.language_model.lm_head.weight[7] = 0
    assert model.action_logits(images, prompts, action_dim=7).shape == (6, 7, 256)


@th.inference_mode()
def test_decoding_step_by_step_equals_one_pass_over_the_whole_answer(
    tiny: Path, frames: np.ndarray, instructions: list[str]
) -> None:
    """Without the words before them, all numbers of an action but the first would be others."""
    images, prompts = inputs(tiny, frames, instructions)
    model = load_model(tiny, th.device("cpu"), th.float32)
    head = model.language_model.lm_head.weight[ACTION_WORDS]

    logits = model.action_logits(images, prompts, action_dim=7)

    answers = logits.argmax(dim=2) + FIRST_ACTION_WORD
    for row, prompt in enumerate(prompts):
        embeddings, _ = model.assemble(images[row : row + 1], [[*prompt, *answers[row, :-1].tolist()]])
        whole = model.language_model.model(inputs_embeds=embeddings, use_cache=False).last_hidden_state[0, -7:] @ head.T
        th.testing.assert_close(logits[row], whole, rtol=1e-4, atol=1e-4)
        alone = model.language_model.model(inputs_embeds=embeddings[:, -1:], use_cache=False).last_hidden_state[0, -1] @ head.T
        assert (logits[row, -1] - alone).abs().max() > 0.1


def test_decoding_warns_of_nothing(tiny: Path, frames: np.ndarray) -> None:
    images, prompts = inputs(tiny, frames[:1], ["push"])
    model = load_model(tiny, th.device("cpu"), th.float32)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.action_logits(images, prompts, action_dim=2)


def test_the_caches_name_is_that_of_the_installed_release() -> None:
    def until_5_23(inputs_embeds: object, past_key_values: object = None, **kwargs: object) -> None: ...

    def since_5_24(inputs_embeds: object, cache: object = None, **kwargs: object) -> None: ...

    def some_day(inputs_embeds: object, memory: object = None, **kwargs: object) -> None: ...

    assert cache_argument(until_5_23) == "past_key_values"
    assert cache_argument(since_5_24) == "cache"
    with pytest.raises(TeacherError, match=r"transformers \d+\..*takes no cache.*earlier release"):
        cache_argument(some_day)


def test_another_image_or_instruction_changes_the_action(tiny: Path, frames: np.ndarray) -> None:
    teacher = OpenVLATeacher(tiny, device="cpu")
    answers = teacher.predict({"frame": frames[[0, 1, 0, 0]]}, ["push", "push", "lift", "PUSH"]).actions

    assert not np.allclose(answers[0], answers[1])
    assert not np.allclose(answers[0], answers[2])
    np.testing.assert_array_equal(answers[0], answers[3])


def test_a_single_pixel_of_any_trunk_counts(tiny: Path, frames: np.ndarray) -> None:
    images, prompts = inputs(tiny, frames[:1], ["push"])
    model = load_model(tiny, th.device("cpu"), th.float32)
    before = model.action_logits(images, prompts, action_dim=1)

    for channel in range(6):
        changed = images.clone()
        changed[0, channel, 30, 30] += 3
        assert not th.allclose(model.action_logits(changed, prompts, action_dim=1), before)


@pytest.mark.parametrize(
    "written", [{"rope_theta": 50.0}, {"rope_parameters": {"rope_theta": 50.0, "rope_type": "default"}}], ids=["4", "5"]
)
def test_the_language_models_own_settings_are_heeded(own_tiny: Path, frames: np.ndarray, written: dict) -> None:
    """Whichever release of transformers wrote them."""
    config = read_json(own_tiny, "config.json")
    config["text_config"].update(written)
    (own_tiny / "config.json").write_text(json.dumps(config))
    images, prompts = inputs(own_tiny, frames[:1], ["push"])

    logits = load_model(own_tiny, th.device("cpu"), th.float32).action_logits(images, prompts, action_dim=2).numpy()

    reference = Reference(own_tiny)
    reference.config["text_config"]["rope_theta"] = 50.0
    _, all_logits = reference.generate(frames[0], prompts[0], action_dim=2)
    np.testing.assert_allclose(logits[0], all_logits[:, ACTION_WORDS], rtol=1e-4, atol=2e-4)


def test_one_trunk_alone(own_tiny: Path, frames: np.ndarray) -> None:
    """The layout of version 0.1: SigLIP only, a projector of two layers, and the prompt of a chat."""
    for name, only in (
        ("config.json", {"vision_trunks": 1, "use_fused_vision_backbone": False, "llm_backbone_id": "vicuna-v15-7b"}),
        ("preprocessor_config.json", {"tvf_resize_params": 1, "tvf_normalize_params": 1}),
    ):
        content = read_json(own_tiny, name)
        # of what there are two, the second
        content.update({key: content[key][value:] if type(value) is int else value for key, value in only.items()})
        (own_tiny / name).write_text(json.dumps(content))
    th.manual_seed(0)
    random_model = OpenVLAModel(OpenVLAConfig.from_json(read_json(own_tiny, "config.json")))
    # as in a trained network, the words for actions are the likeliest
    random_model.language_model.lm_head.weight[ACTION_WORDS] *= 4
    for path in [*own_tiny.glob("*.safetensors"), own_tiny / "model.safetensors.index.json"]:
        path.unlink()
    safetensors.torch.save_file(random_model.state_dict(), own_tiny / "model.safetensors")
    images, prompts = inputs(own_tiny, frames[:2], ["push", "lift the cube"])

    logits = load_model(own_tiny, th.device("cpu"), th.float32).action_logits(images, prompts, action_dim=1).numpy()

    for row in range(2):
        _, all_logits = Reference(own_tiny).generate(frames[row], prompts[row], action_dim=1)
        np.testing.assert_allclose(logits[row], all_logits[:, ACTION_WORDS], rtol=1e-4, atol=1e-5)


def test_no_logits_of_the_whole_vocabulary(tiny: Path, frames: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    images, prompts = inputs(tiny, frames, ["push"] * 6)
    model = load_model(tiny, th.device("cpu"), th.float32)
    # but once, at the first question
    model.action_logits(images[:1], prompts[:1], action_dim=1)

    def fail(*_: object) -> None:
        raise AssertionError("the whole output layer was evaluated")

    monkeypatch.setattr(model.language_model.lm_head, "forward", fail)

    assert model.action_logits(images, prompts, action_dim=7).shape == (6, 7, 256)


def test_bfloat16_keeps_the_rotary_frequencies_in_float32(tiny: Path, frames: np.ndarray) -> None:
    images, prompts = inputs(tiny, frames[:2], ["push", "lift it"])
    model = load_model(tiny, th.device("cpu"), th.bfloat16)

    logits = model.action_logits(images.bfloat16(), prompts, action_dim=7)

    assert {parameter.dtype for parameter in model.parameters()} == {th.bfloat16}
    assert {buffer.dtype for buffer in model.buffers()} == {th.float32}
    assert logits.dtype == th.float32
    assert bool(logits.isfinite().all())

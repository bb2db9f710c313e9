"""The tiny checkpoint: the layout of the published ones, its own random numbers, its own alphabet."""

import json
import re
from pathlib import Path

import pytest
import tokenizers
import torch as th
from checkpoint_edits import written_tensors

from sb3_rpd.teachers.openvla import make_tiny_openvla
from sb3_rpd.teachers.openvla.config import OPENVLA_7B, OpenVLAConfig
from sb3_rpd.teachers.openvla.model import OpenVLAModel


def test_the_same_seed_gives_the_same_checkpoint(tiny: Path, tmp_path: Path) -> None:
    same, other = make_tiny_openvla(tmp_path / "same", seed=0), make_tiny_openvla(tmp_path / "other", seed=1)
    shard = "model-00002-of-00002.safetensors"

    assert (same / shard).read_bytes() == (tiny / shard).read_bytes()
    assert (other / shard).read_bytes() != (tiny / shard).read_bytes()


def test_numbers_come_from_a_generator_of_its_own(tmp_path: Path) -> None:
    th.manual_seed(3)
    before = th.get_rng_state()
    make_tiny_openvla(tmp_path / "one")
    assert th.equal(th.get_rng_state(), before)


def test_tensors_are_named_as_the_published_ones(tiny: Path) -> None:
    """But for their numbers: it has fewer blocks and layers."""
    with th.device("meta"):
        published = OpenVLAModel(OpenVLAConfig.from_json(OPENVLA_7B)).state_dict()
    tensors = written_tensors(tiny)

    def kinds(names: object) -> set[str]:
        return {re.sub(r"\.\d+\.", ".#.", name) for name in names}

    assert kinds(tensors) == kinds(published)
    assert {name: tensor.ndim for name, tensor in tensors.items()}.items() <= {
        name: tensor.ndim for name, tensor in published.items()
    }.items()


def test_no_tensor_is_another_or_a_constant(tiny: Path) -> None:
    """Two that had changed places would not be noticed otherwise."""
    tensors = list(written_tensors(tiny).values())
    assert all(tensor.std() > 0 for tensor in tensors)
    same_shape = [(a, b) for i, a in enumerate(tensors) for b in tensors[:i] if a.shape == b.shape]
    assert len(same_shape) > 100
    assert not any(th.equal(a, b) for a, b in same_shape)


def test_two_shards_of_which_the_index_tells(tiny: Path) -> None:
    index = json.loads((tiny / "model.safetensors.index.json").read_text())
    sizes = {path.name: path.stat().st_size for path in tiny.glob("*.safetensors")}
    assert sorted(sizes) == ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    assert set(index["weight_map"].values()) == set(sizes)
    assert index["weight_map"].keys() == written_tensors(tiny).keys()
    assert 0.5 < sizes["model-00001-of-00002.safetensors"] / sum(sizes.values()) < 0.7


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # 1 is <s>, 3 the space, which goes in front; of ASCII's printable characters the first one, "!", is 5
        ("ab", [1, 3, ord("a") - 28, ord("b") - 28]),
        ("a b\n", [1, 3, ord("a") - 28, 3, ord("b") - 28, 4]),
        ("\N{SNOWMAN}", [1, 3, 0]),
    ],
)
def test_characters_are_words(tiny: Path, text: str, words: list[int]) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(tiny / "tokenizer.json"))
    assert tokenizer.encode(text).ids == words


def test_words_for_actions_come_last_before_the_padding(tiny: Path) -> None:
    tokenizer = tokenizers.Tokenizer.from_file(str(tiny / "tokenizer.json"))
    config = OpenVLAConfig.from_json(json.loads((tiny / "config.json").read_text()))
    first = config.first_action_token
    assert [tokenizer.id_to_token(first + index) for index in (0, 255, 256)] == ["<action_0>", "<action_255>", "<PAD>"]
    assert tokenizer.id_to_token(first - 1) == "~"
    # Rows of the embedding: one for each word, and 64 more, of which the first is for the padding
    rows = written_tensors(tiny)["language_model.model.embed_tokens.weight"].shape[0]
    assert rows == first + 256 + 64 == tokenizer.get_vocab_size() - 1 + 64

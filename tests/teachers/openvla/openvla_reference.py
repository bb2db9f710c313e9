"""
OpenVLA once more, as slow and as plain as it can be: numpy in float64, one image at a time, no cache, every word's logit.

Written from the papers' formulas and the published tensor names; shares no code with the package.
"""

import json
import math
from pathlib import Path

import numpy as np
import safetensors.numpy
from PIL import Image


def layer_norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6) * weight + bias


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def softmax(x: np.ndarray) -> np.ndarray:
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


class Reference:
    """The network of one checkpoint."""

    def __init__(self, folder: Path) -> None:
        self.config = json.loads((folder / "config.json").read_text())
        self.preprocessor = json.loads((folder / "preprocessor_config.json").read_text())
        self.tensors = {
            name: tensor.astype(np.float64)
            for file in folder.glob("*.safetensors")
            for name, tensor in safetensors.numpy.load_file(file).items()
        }

    def linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.tensors[f"{name}.weight"].T + self.tensors.get(f"{name}.bias", 0.0)

    def norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return layer_norm(x, self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"])

    def pixels(self, frame: np.ndarray) -> np.ndarray:
        """The image of each trunk, channels first, one below the other."""
        images = []
        resizing, normalizing = self.preprocessor["tvf_resize_params"], self.preprocessor["tvf_normalize_params"]
        for resize, normalize in zip(resizing, normalizing, strict=True):
            height, width = resize["size"]
            narrow = Image.fromarray(frame).resize((width, len(frame)), Image.Resampling.BICUBIC)
            small = np.asarray(narrow.resize((width, height), Image.Resampling.BICUBIC)) / 255.0
            images.append(((small - normalize["mean"]) / normalize["std"]).transpose(2, 0, 1))
        return np.concatenate(images)

    def trunk(self, name: str, geometry: dict, image: np.ndarray) -> np.ndarray:
        size, heads, dim = geometry["patch_size"], geometry["num_heads"], geometry["embed_dim"]
        side = geometry["image_size"] // size
        kernel = self.tensors[f"{name}.patch_embed.proj.weight"]
        patches = np.array(
            [
                [(kernel[c] * image[:, i * size : (i + 1) * size, j * size : (j + 1) * size]).sum() for c in range(dim)]
                for i in range(side)
                for j in range(side)
            ]
        )
        x = patches + self.tensors[f"{name}.patch_embed.proj.bias"] + self.tensors[f"{name}.pos_embed"][0]
        prefix = [self.tensors[key][0] for key in (f"{name}.cls_token", f"{name}.reg_token") if key in self.tensors]
        x = np.concatenate([*prefix, x])
        for block in range(geometry["depth"] - 1):
            at = f"{name}.blocks.{block}"
            query, key, value = np.split(self.linear(f"{at}.attn.qkv", self.norm(f"{at}.norm1", x)), 3, axis=1)
            width = dim // heads
            mixed = []
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                mixed.append(softmax(query[:, part] @ key[:, part].T / math.sqrt(width)) @ value[:, part])
            x = x + self.linear(f"{at}.attn.proj", np.concatenate(mixed, axis=1)) * self.scale(f"{at}.ls1")
            hidden = gelu(self.linear(f"{at}.mlp.fc1", self.norm(f"{at}.norm2", x)))
            x = x + self.linear(f"{at}.mlp.fc2", hidden) * self.scale(f"{at}.ls2")
        return x[-(side**2) :]

    def scale(self, name: str) -> np.ndarray | float:
        return self.tensors.get(f"{name}.scale_factor", 1.0)

    def patch_embeddings(self, pixels: np.ndarray) -> np.ndarray:
        first, *second = self.config["vision_trunks"]
        features = self.trunk("vision_backbone.featurizer", first, pixels[:3])
        if not second:
            return self.linear("projector.fc2", gelu(self.linear("projector.fc1", features)))
        more_features = self.trunk("vision_backbone.fused_featurizer", second[0], pixels[3:])
        hidden = gelu(self.linear("projector.fc1", np.concatenate([features, more_features], axis=1)))
        return self.linear("projector.fc3", gelu(self.linear("projector.fc2", hidden)))

    def rms_norm(self, name: str, x: np.ndarray) -> np.ndarray:
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * self.tensors[f"{name}.weight"]

    def rotate(self, x: np.ndarray) -> np.ndarray:
        """Turn the pairs (i, i + width / 2) of a head's dimensions by angles that grow with the position."""
        width = x.shape[1]
        theta = self.config["text_config"].get("rope_theta", 10000.0)
        angles = np.arange(len(x))[:, None] * theta ** (-np.arange(0, width, 2) / width)
        left, right = x[:, : width // 2], x[:, width // 2 :]
        return np.concatenate(
            [left * np.cos(angles) - right * np.sin(angles), right * np.cos(angles) + left * np.sin(angles)], axis=1
        )

    def llama(self, x: np.ndarray) -> np.ndarray:
        """Logits of all words at the last position."""
        text = self.config["text_config"]
        heads = text["num_attention_heads"]
        width = text["hidden_size"] // heads
        future = np.triu(np.full((len(x), len(x)), -np.inf), k=1)
        for layer in range(text["num_hidden_layers"]):
            at = f"language_model.model.layers.{layer}"
            normed = self.rms_norm(f"{at}.input_layernorm", x)
            query, key, value = (self.linear(f"{at}.self_attn.{one}_proj", normed) for one in "qkv")
            mixed = []
            for head in range(heads):
                part = slice(head * width, (head + 1) * width)
                scores = self.rotate(query[:, part]) @ self.rotate(key[:, part]).T / math.sqrt(width)
                mixed.append(softmax(scores + future) @ value[:, part])
            x = x + self.linear(f"{at}.self_attn.o_proj", np.concatenate(mixed, axis=1))
            normed = self.rms_norm(f"{at}.post_attention_layernorm", x)
            gate = self.linear(f"{at}.mlp.gate_proj", normed)
            x = x + self.linear(f"{at}.mlp.down_proj", gate / (1 + np.exp(-gate)) * self.linear(f"{at}.mlp.up_proj", normed))
        return self.linear("language_model.lm_head", self.rms_norm("language_model.model.norm", x[-1]))

    def generate(self, frame: np.ndarray, prompt: list[int], action_dim: int) -> tuple[list[int], np.ndarray]:
        """Greedy words, and the logits of all words before each of them."""
        words = self.tensors["language_model.model.embed_tokens.weight"]
        patches = self.patch_embeddings(self.pixels(frame))
        answer: list[int] = []
        logits = []
        for _ in range(action_dim):
            logits.append(self.llama(np.concatenate([words[prompt[:1]], patches, words[prompt[1:] + answer]])))
            answer.append(int(logits[-1].argmax()))
        return answer, np.array(logits)

    def action(self, words: list[int], statistics: dict) -> np.ndarray:
        """From words to the units of the data set: the arithmetic of the OpenVLA paper, one number at a time."""
        text = self.config["text_config"]
        vocabulary = text["vocab_size"] - self.config["pad_to_multiple_of"]
        edges = np.linspace(-1, 1, 256)
        numbers = []
        for word, low, high, mask in zip(words, *(statistics[key] for key in ("q01", "q99", "mask")), strict=True):
            index = min(max(vocabulary - word - 1, 0), 254)
            value = (edges[index] + edges[index + 1]) / 2
            numbers.append(0.5 * (value + 1) * (high - low) + low if mask else value)
        return np.array(numbers)

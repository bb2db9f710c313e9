"""From camera frames and instructions to the network's inputs, as the published preprocessor makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch as th

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.optional_imports import import_optional
from sb3_rpd.teachers.openvla.checkpoint import unreadable
from sb3_rpd.teachers.openvla.config import OpenVLAConfig, entry
from sb3_rpd.teachers.openvla.resize import crop_center, resize_bicubic

PROMPT = "In: What action should the robot take to {instruction}?\nOut:"
#: Version 0.1 was built on Vicuna, a chat model.
CHAT_PROMPT = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
    "USER: What action should the robot take to {instruction}? ASSISTANT:"
)
#: Part of the image's area that the published evaluations keep, for checkpoints that were trained on random crops.
CROP_AREA = 0.9
_BICUBIC = 3  # Pillow's number for it
_FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class ImageProcessor:
    """
    Resizes and normalizes frames; each vision trunk gets its own three channels.

    :param sizes: Height and width of each trunk's input.
    :param means: Subtracted from the channels of each trunk's input, which are in [0, 1].
    :param stds: What the channels are divided by afterwards.
    :param center_crop: Whether to keep only the center of the frames, for checkpoints that were trained on random crops.
    """

    sizes: tuple[tuple[int, int], ...]
    means: tuple[tuple[float, ...], ...]
    stds: tuple[tuple[float, ...], ...]
    center_crop: bool = False

    @classmethod
    def from_json(cls, config: Mapping[str, Any], center_crop: bool = False) -> "ImageProcessor":
        """
        Read what a preprocessor_config.json says.

        The numbers that count are those under ``tvf_normalize_params``: the published preprocessor uses them in place of
        ``means`` and ``stds``, and in the published files they are rounded (0.484375 for 0.485).

        :param config: The parsed file.
        :param center_crop: See the class.
        :raises TeacherError: if it asks for another way of resizing than the published checkpoints'.
        """
        resizing, normalizing = (entry(config, key, list, _FILE) for key in ("tvf_resize_params", "tvf_normalize_params"))
        interpolations = [entry(one, "interpolation", int, _FILE) for one in resizing]
        if config.get("image_resize_strategy") != "resize-naive" or any(one != _BICUBIC for one in interpolations):
            raise TeacherError(
                f"Only image_resize_strategy='resize-naive' with bicubic interpolation is supported; {_FILE} says "
                f"{config.get('image_resize_strategy')!r} with {interpolations}."
            )
        return cls(
            sizes=tuple((int(height), int(width)) for height, width in (entry(one, "size", list, _FILE) for one in resizing)),
            means=tuple(tuple(entry(one, "mean", list, _FILE)) for one in normalizing),
            stds=tuple(tuple(entry(one, "std", list, _FILE)) for one in normalizing),
            center_crop=center_crop,
        )

    def __call__(self, frames: th.Tensor) -> th.Tensor:
        """
        Prepare a batch.

        :param frames: Shape (n, height, width, 3), uint8.
        :return: Shape (n, 3 * number of trunks, size, size), float32, on the same device.
        """
        if self.center_crop:
            frames = crop_center(frames, CROP_AREA, self.sizes[0])
        resized = {size: resize_bicubic(frames, size).permute(0, 3, 1, 2).float() / 255 for size in set(self.sizes)}
        normalized = []
        for size, *statistics in zip(self.sizes, self.means, self.stds, strict=True):
            mean, std = (th.tensor(values, device=frames.device).view(3, 1, 1) for values in statistics)
            normalized.append((resized[size] - mean) / std)
        return th.cat(normalized, dim=1)


class PromptProcessor:
    """
    Turns instructions into the token ids of prompts.

    :param folder: The checkpoint.
    :param config: Its architecture, which says which prompt it was trained with.
    :raises TeacherError: if it has no tokenizer.json, or not Llama's.
    """

    def __init__(self, folder: Path, config: OpenVLAConfig) -> None:
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise TeacherError(
                f"{folder} has no tokenizer.json. Where it has a tokenizer.model, transformers makes the one from the other: "
                "LlamaTokenizerFast.from_pretrained(folder).save_pretrained(folder)."
            )
        # the file as it is: a Llama tokenizer class would rebuild it, in a way that depends on the release of transformers
        tokenizer_class = import_optional("transformers", extra="openvla").PreTrainedTokenizerFast
        try:
            self._tokenizer = tokenizer_class(tokenizer_file=str(path))
        except Exception as error:  # the tokenizers library raises no other class
            raise unreadable(path, error) from error
        self._template = CHAT_PROMPT if config.chat_prompt else PROMPT
        self._bos = int(config.text["bos_token_id"])
        # the word that a lone space makes, 29871 in Llama-2: in training it came between the prompt and the action
        self._empty = self._tokenizer.convert_tokens_to_ids("\u2581")
        if self._empty is None:
            raise TeacherError(f"{path} is not Llama's tokenizer, with which OpenVLA was trained: it has no word for a space.")

    def __call__(self, instruction: str) -> list[int]:
        """
        Make one prompt.

        :param instruction: What to do, e.g. "lift the red cube"; its case does not matter.
        :return: Token ids from BOS to the empty word after which the action follows.
        """
        words: list[int] = self._tokenizer.encode(self._template.format(instruction=instruction.lower()))
        if words[0] != self._bos:
            words = [self._bos, *words]
        return words if words[-1] == self._empty else [*words, self._empty]

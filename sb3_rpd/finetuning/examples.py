"""From demonstrations to what a network is trained on: images, prompts, words."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch as th

from sb3_rpd.finetuning.augmentation import augment
from sb3_rpd.teachers.openvla.actions import ActionDecoder, words_for
from sb3_rpd.teachers.openvla.checkpoint import read_json
from sb3_rpd.teachers.openvla.config import OpenVLAConfig
from sb3_rpd.teachers.openvla.processing import ImageProcessor, PromptProcessor
from sb3_rpd.teachers.openvla.resize import resize_bicubic
from sb3_rpd.teachers.units import ActionConversion, GripperConversion, make_conversion

# resized frames that are kept in memory: 14,000 of 224 x 224
_CACHE_BYTES = 2 * 2**30


class Demonstrated(Protocol):
    """What training takes from demonstrations: ``sb3_rpd.demonstrations.Demonstrations`` has it."""

    @property
    def actions(self) -> np.ndarray:
        """Shape (n, action_dim), in the environment's units."""

    @property
    def instructions(self) -> list[str]:
        """One for each frame."""

    def __len__(self) -> int: ...

    def image(self, index: int, camera: str | None = None) -> np.ndarray:
        """Shape (height, width, 3), uint8."""


@dataclass(frozen=True)
class Batch:
    """
    Some frames and what is to be said about them.

    :param images: As the network takes them, shape (n, 3 * number of trunks, image_size, image_size).
    :param prompts: Token ids of n prompts.
    :param normalized: The actions in [-1, 1], float32 of shape (n, action_dim).
    :param words: Where their words are among the action words, int64 of shape (n, action_dim).
    :param rows: Which frames of the demonstrations these are, shape (n,).
    """

    images: th.Tensor
    prompts: list[list[int]]
    normalized: th.Tensor
    words: th.Tensor
    rows: np.ndarray


def action_statistics(actions: np.ndarray, *, gripper: bool) -> dict[str, Any]:
    """
    What OpenVLA normalizes actions by.

    :param actions: Shape (n, action_dim), in the units that the network is to speak in.
    :param gripper: Whether the last number is a gripper from 0 to 1, which is not normalized.
    :return: ``mean``, ``std``, ``max``, ``min``, ``q01``, ``q99`` and ``mask``, as lists.
    """
    values = actions.astype(np.float64)
    low, high = np.quantile(values, [0.01, 0.99], axis=0)
    numbers = {
        "mean": values.mean(0),
        "std": values.std(0),
        "max": values.max(0),
        "min": values.min(0),
        "q01": low,
        "q99": high,
    }
    mask = np.arange(actions.shape[1]) < actions.shape[1] - gripper
    return {name: value.tolist() for name, value in numbers.items()} | {"mask": mask.tolist()}


def to_data_units(convert_actions: Any) -> ActionConversion:
    """
    The way back through the conversion that the teacher will make.

    :param convert_actions: What ``OpenVLATeacher`` will be given: the name of a conversion of the gripper, or None.
    :return: From the environment's units to those that the network is to speak in.
    :raises ValueError: if there is no way back.
    """
    conversion = make_conversion(convert_actions)
    if convert_actions is None:
        return conversion
    if not isinstance(conversion, GripperConversion):
        raise ValueError(
            f"convert_actions={convert_actions!r} cannot be undone for the labels. Take the name of a gripper's conversion, "
            "or None and convert the demonstrations' actions yourself."
        )
    return conversion.inverse


def check_labels(actions: np.ndarray, *, gripper: bool) -> None:
    """
    :param actions: Labels in the units that the network is to speak in, shape (n, action_dim).
    :param gripper: Whether the last number is a gripper, which is not scaled.
    :raises ValueError: if there are no words for them.
    """
    if not np.issubdtype(actions.dtype, np.floating):
        raise ValueError(
            "OpenVLA answers with numbers of a Box, and these demonstrations' actions are choices of a Discrete space: it "
            "cannot be trained on them."
        )
    low, high = float(actions[:, -1].min()), float(actions[:, -1].max())
    if gripper and (low < -1.01 or high > 1.01):
        raise ValueError(
            f"The demonstrations' gripper, converted, goes from {low:g} to {high:g}, and there are words for -1 to 1 only: "
            "choose another convert_actions; None scales the last number as it does the others."
        )


class Examples:
    """
    Demonstrations as a network takes them.

    :param folder: The checkpoint that is trained.
    :param demonstrations: The frames.
    :param statistics: What the actions are normalized by; see ``action_statistics``.
    :param convert_actions: See ``to_data_units``.
    :param camera: Whose images; None for the only ones.
    :param device: Where the tensors go.
    """

    def __init__(
        self,
        folder: Path,
        demonstrations: Demonstrated,
        statistics: dict[str, Any],
        *,
        convert_actions: Any,
        camera: str | None,
        device: th.device,
    ) -> None:
        config = OpenVLAConfig.from_json(read_json(folder, "config.json"))
        self._process = ImageProcessor.from_json(read_json(folder, "preprocessor_config.json"))
        make_prompt = PromptProcessor(folder, config)
        self._prompts = {instruction: make_prompt(instruction) for instruction in set(demonstrations.instructions)}
        self._instructions = demonstrations.instructions
        self._camera, self._device = camera, device
        #: The frames.
        self.demonstrations = demonstrations
        #: Un-normalizes what the network says.
        self.decoder = ActionDecoder.from_statistics(statistics)
        #: In the units that the network speaks in, shape (n, action_dim).
        self.actions = to_data_units(convert_actions)(demonstrations.actions)
        self._normalized = self.decoder.normalize(self.actions)
        self._words = words_for(self._normalized, config.action_bins)
        self._cache: dict[int, th.Tensor] = {}
        self._cache_rows = _CACHE_BYTES // (3 * int(np.prod(self._process.sizes[0])))

    def __len__(self) -> int:
        return len(self.demonstrations)

    def images(self, rows: np.ndarray) -> th.Tensor:
        """
        :param rows: Which frames, shape (n,). None of them is kept in memory.
        :return: See ``Batch``.
        """
        return self._process(th.cat([self._frame(int(row)) for row in rows]).to(self._device))

    def batch(
        self, rows: np.ndarray, augmentation: np.random.Generator | None = None, images: th.Tensor | None = None
    ) -> Batch:
        """
        :param rows: Which frames, shape (n,).
        :param augmentation: If given, changes the images at random.
        :param images: What the network is shown in place of the images.
        :return: The frames as tensors on the device.
        """
        if images is None:
            frames = th.cat([self._kept_frame(int(row)) for row in rows]).to(self._device)
            images = self._process(frames if augmentation is None else augment(frames, augmentation))
        return Batch(
            images=images,
            prompts=[self._prompts[self._instructions[row]] for row in rows],
            normalized=th.from_numpy(self._normalized[rows].astype(np.float32)).to(self._device),
            words=th.from_numpy(self._words[rows]).to(self._device),
            rows=rows,
        )

    def _kept_frame(self, row: int) -> th.Tensor:
        """The frame, kept in memory as long as there is room."""
        if row in self._cache:
            return self._cache[row]
        frame = self._frame(row)
        if len(self._cache) < self._cache_rows:
            self._cache[row] = frame
        return frame

    def _frame(self, row: int) -> th.Tensor:
        """Shape (1, height, width, 3), of the network's size."""
        image = np.array(self.demonstrations.image(row, self._camera))
        return resize_bicubic(th.from_numpy(image)[None], self._process.sizes[0])


@lru_cache(maxsize=4)
def _shuffled(n: int, seed: int, epoch: int) -> np.ndarray:
    order: np.ndarray = np.random.default_rng([seed, epoch]).permutation(n)
    return order


def rows_of_step(n: int, count: int, step: int, seed: int) -> np.ndarray:
    """
    Which frames a step trains on: all of them in one random order, then in another, and so on. No state is needed to go on.

    :param n: How many frames there are.
    :param count: How many a step takes.
    :param step: The step, counted from 0.
    :param seed: Of the orders.
    :return: Shape (count,).
    """
    places = range(step * count, (step + 1) * count)
    return np.array([_shuffled(n, seed, place // n)[place % n] for place in places])


def spread_rows(n: int, count: int) -> np.ndarray:
    """
    :param n: How many frames there are.
    :param count: How many are wanted at most.
    :return: So many of them, evenly spread, shape (min(n, count),).
    """
    rows: np.ndarray = np.unique(np.linspace(0, n - 1, min(n, count)).astype(int))
    return rows


def pieces(rows: np.ndarray, size: int) -> Sequence[np.ndarray]:
    """:return: The rows in pieces of at most ``size``."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]

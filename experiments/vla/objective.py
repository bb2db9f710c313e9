"""What the VLA is trained on beside its words: where things are. None of it is left in the checkpoint."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch as th
import torch.nn.functional as F
from torch import nn

from sb3_rpd.envs.cube_state import CubeState
from sb3_rpd.finetuning import Batch, Examples, Objective
from sb3_rpd.finetuning.examples import pieces
from sb3_rpd.finetuning.objective import draw_words, forced_hidden_states
from sb3_rpd.finetuning.whitening import Whitening
from sb3_rpd.teachers.openvla.model import OpenVLAModel

_TRUNK = "vision_backbone.featurizer"
_FREQUENCIES = 10
_MEASURED_FRAMES = 1_000
_FRAMES_AT_ONCE = 64
_SIGHT_NOISE = 0.1
# translation and gripper decide whether the cube is lifted; the end of the answer is no action
_WORD_WEIGHTS = (1.0, 1.0, 1.5, 0.3, 0.3, 0.3, 1.0, 0.1)
# losses of the state, of the cell with the cube, of where in the cell
_STATE_WEIGHT, _CELL_WEIGHT, _PLACE_WEIGHT = 5.0, 0.3, 1.0
# of a cube behind the fingers no more red pixels are seen
_FEWEST_PIXELS = 2


def state_targets(states: np.ndarray) -> np.ndarray:
    """
    What the words depend on, as numbers of about the same size.

    :param states: Privileged states, shape (n, 30).
    :return: Shape (n, 19), float32.
    """
    cube = CubeState.unpack(states.astype(np.float64))
    offset = cube.cube_position - cube.tcp_position
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    targets = (
        cube.tcp_position / 0.1,
        cube.cube_position / 0.06,
        offset / 0.08,
        np.tanh(offset / 0.02),
        (cube.finger_positions.sum(axis=1, keepdims=True) - 0.05) / 0.03,
        cube.is_grasped[:, np.newaxis],
        np.tanh((distance - 0.015) / 0.01),
        cube.tcp_quaternion / 0.1,
    )
    return np.concatenate(targets, axis=1, dtype=np.float32)


def cube_places(images: th.Tensor) -> tuple[th.Tensor, th.Tensor]:
    """
    Where the red cube is in the images.

    :param images: Normalized images, shape (n, 3, size, size), in [-1, 1].
    :return: The center of its pixels (column, row), shape (n, 2), and whether it is seen, shape (n,), 0 or 1.
    """
    # every second pixel tells as much
    red, green, blue = ((images[:, :, ::2, ::2] + 1) / 2).unbind(dim=1)
    mask = ((red > 0.35) & (red > 2 * green) & (red > 2 * blue)).float()
    count = mask.sum(dim=(1, 2))
    places = th.arange(0, images.shape[-1], 2, device=images.device).float() + 0.5
    column, row = ((mask.sum(dim=dim) @ places) / count.clamp(min=1) for dim in (1, 2))
    return th.stack([column, row], dim=1), (count > _FEWEST_PIXELS).float()


class FromScratch(Objective):
    """
    Words with soft labels, the state told at the end of the prompt, and the cube found among the patches.

    While it is trained the network is shown whitened patches in place of images; these and where the cube is are computed
    once. Images cannot be augmented.

    :param model: An untrained network with one trunk.
    :param examples: The frames to train on, with privileged states.
    :param label_width: See ``Recipe``.
    """

    def __init__(self, model: OpenVLAModel, examples: Examples, label_width: float) -> None:
        super().__init__(model, label_width)
        trunk = model.config.trunks[0]
        self._patch_size, self._side = trunk.patch_size, trunk.image_size // trunk.patch_size
        rows = np.linspace(0, len(examples) - 1, min(_MEASURED_FRAMES, len(examples))).astype(int)
        self._whitening = Whitening(trunk, _FREQUENCIES, examples.images(rows))
        self._whitening.put_into(model.vision_backbone.featurizer)
        self._examples = examples
        shown, centers, seen = [], [], []
        for piece in pieces(np.arange(len(examples)), _FRAMES_AT_ONCE):
            images = examples.images(piece)
            # half precision, as there are many of them
            shown.append(self._whitening(images).half())
            for found, kept in zip(cube_places(images), (centers, seen), strict=True):
                kept.append(found)
        self._shown, self._centers, self._seen = th.cat(shown), th.cat(centers), th.cat(seen)
        states: Any = examples.demonstrations
        targets = state_targets(states.states)
        self._targets = th.from_numpy(targets - targets.mean(axis=0))
        self._state_head = nn.Linear(model.config.text["hidden_size"], targets.shape[1])
        self._place_head = nn.Linear(trunk.embed_dim, 3)
        self._features: list[th.Tensor] = []
        model.vision_backbone.register_forward_hook(lambda _, __, features: self._features.append(features))

    def batch(self, examples: Examples, rows: np.ndarray, augmentation: np.random.Generator | None = None) -> Batch:
        assert augmentation is None
        if examples is self._examples:
            return examples.batch(rows, images=self._shown[rows].float())
        batch = examples.batch(rows)
        return replace(batch, images=self._whitening(batch.images))

    def forward(self, batch: Batch, rng: np.random.Generator) -> th.Tensor:
        labels = self.labels(batch)
        noise = th.randn(batch.images.shape, generator=th.Generator().manual_seed(int(rng.integers(2**63))))
        images = batch.images + _SIGHT_NOISE * noise.to(batch.images.device)
        self._features.clear()
        hidden = forced_hidden_states(self.model, images, batch.prompts, draw_words(labels, rng))
        words = (self.word_loss(hidden, labels) * th.tensor(_WORD_WEIGHTS, device=hidden.device)).mean()
        told = self._state_head(hidden[:, 0])
        state = F.smooth_l1_loss(told, self._targets[batch.rows].to(told.device), beta=0.3)
        return words + _STATE_WEIGHT * state + self._place_loss(self._features[0], batch.rows)

    def _place_loss(self, features: th.Tensor, rows: np.ndarray) -> th.Tensor:
        center, seen = self._centers[rows], self._seen[rows]
        cell = (center / self._patch_size).long().clamp(0, self._side - 1)
        number = cell[:, 1] * self._side + cell[:, 0]
        inside = center / self._patch_size - cell - 0.5
        answer = self._place_head(features)
        found = F.cross_entropy(answer[..., 0], number, reduction="none")
        missed = (answer[th.arange(len(answer)), number, 1:] - inside).pow(2).sum(dim=1)
        return ((_CELL_WEIGHT * found + _PLACE_WEIGHT * missed) * seen).mean()

    def weights(self) -> dict[str, th.Tensor]:
        return self._whitening.fold(super().weights(), _TRUNK)

"""Images that are moved at random (sb3_rpd/common/image_shifts.py), and a memory of labels that does so."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.policies import ActorCriticCnnPolicy, ActorCriticPolicy
from stable_baselines3.common.utils import ConstantSchedule

from sb3_rpd import RPD
from sb3_rpd.common.buffers import TeacherRolloutBuffer
from sb3_rpd.common.image_shifts import image_names, randomly_shifted
from sb3_rpd.common.label_memory import LabelMemory
from sb3_rpd.common.losses import MSE
from sb3_rpd.common.teacher_outputs import CheckedOutput

VECTOR = spaces.Box(-1.0, 1.0, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (3, 40, 44), np.uint8)


def moved_by(image: np.ndarray, down: int, right: int) -> np.ndarray:
    """An image's content moved so far, pixel by pixel; what comes in is the nearest pixel of its edge."""
    _, height, width = image.shape
    rows = [min(max(row - down, 0), height - 1) for row in range(height)]
    columns = [min(max(column - right, 0), width - 1) for column in range(width)]
    return image[:, rows][:, :, columns]


@given(
    shape=st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 6), st.integers(1, 6)),
    pixels=st.integers(0, 3),
    seed=st.integers(0, 100),
)
def test_each_image_is_moved_as_a_whole_by_no_more_than_that(shape: tuple[int, int, int, int], pixels: int, seed: int) -> None:
    # No pixel is like another, so that each move has a picture of its own
    images = np.arange(np.prod(shape), dtype=np.int64).reshape(shape)
    moved = randomly_shifted(images, pixels, np.random.default_rng(seed))
    assert moved.shape == images.shape
    assert moved.dtype == images.dtype
    ways = range(-pixels, pixels + 1)
    for before, after in zip(images, moved, strict=True):
        assert any(np.array_equal(after, moved_by(before, down, right)) for down in ways for right in ways)


def test_all_moves_are_as_likely_and_images_move_independently() -> None:
    images = np.broadcast_to(np.arange(25).reshape(1, 1, 5, 5), (9_000, 1, 5, 5))
    centers = randomly_shifted(images, 1, np.random.default_rng(0))[:, 0, 2, 2]
    found, counts = np.unique(centers, return_counts=True)
    # The pixel in the middle and its neighbors
    assert found.tolist() == [6, 7, 8, 11, 12, 13, 16, 17, 18]
    # 1000 each, with a standard deviation of 30
    assert (np.abs(counts - 1_000) < 150).all()


def test_what_is_an_image() -> None:
    assert image_names(IMAGE) == [""]
    assert image_names(VECTOR) == []
    assert sorted(image_names(spaces.Dict(rgb=IMAGE, state=VECTOR, other=IMAGE))) == ["other", "rgb"]


def memory_of(images: np.ndarray, **settings: Any) -> LabelMemory:
    buffer = TeacherRolloutBuffer(len(images), IMAGE, VECTOR, device="cpu", n_envs=1)
    for step, image in enumerate(images):
        buffer.add(image[np.newaxis], np.zeros((1, 2)), np.zeros(1), np.zeros(1), th.zeros(1), th.zeros(1))
        output = CheckedOutput(np.full((1, 2), 0.1 * step, np.float32))
        buffer.add_labels(np.array([step]), np.array([0]), output)
    # So slow that the policy stays as it is
    memory = LabelMemory(minibatches=1, batch_size=6, learning_rate=1e-30, **settings)
    memory.add(buffer)
    return memory


def imitate(memory: LabelMemory, policy: ActorCriticPolicy, seed: int) -> float:
    (loss,) = memory.imitate(
        policy,
        MSE(),
        imitation_coef=1.0,
        success_rate=None,
        correct=lambda labels: labels,
        generator=np.random.default_rng(seed),
    )
    return loss.item()


@pytest.mark.parametrize("pixels", [0, 2])
def test_the_memory_shows_its_student_moved_images_and_keeps_them_as_they_are(pixels: int) -> None:
    images = np.random.default_rng(1).integers(0, 256, (4, *IMAGE.shape), dtype=np.uint8)
    memory = memory_of(images, random_shift=pixels)
    th.manual_seed(0)
    policy = ActorCriticCnnPolicy(IMAGE, VECTOR, ConstantSchedule(1e-9))
    # What the generator says is drawn: the rows, then how far each goes down and right
    generator = np.random.default_rng(3)
    rows = generator.integers(4, size=6)
    ways = pixels - generator.integers(2 * pixels + 1, size=(2, 6))
    assert np.abs(ways).max() == pixels
    seen = np.stack([moved_by(images[row], *way) for row, way in zip(rows, ways.T, strict=True)])
    labels = np.repeat(0.1 * rows[:, np.newaxis], 2, axis=1)
    with th.no_grad():
        means = policy.get_distribution(th.as_tensor(seen)).distribution.mean.numpy()
    expected = np.mean((means - labels) ** 2)
    # And once more: what is kept has stayed
    for _ in range(2):
        assert imitate(memory, policy, seed=3) == pytest.approx(expected, rel=1e-4)


def test_what_is_refused() -> None:
    with pytest.raises(ValueError, match="number of pixels, at least 0"):
        LabelMemory(random_shift=-1)
    with pytest.raises(ValueError, match="moves images, and there are none"):
        RPD("MlpPolicy", "Pendulum-v1", teacher=lambda obs: obs[:, :1], label_memory=LabelMemory(random_shift=2))

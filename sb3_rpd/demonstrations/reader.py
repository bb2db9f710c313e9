"""Reads demonstrations for a learner: frames by index, split by episode."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb3_rpd.demonstrations.lerobot.layout import IMAGES
from sb3_rpd.demonstrations.lerobot.reading import LeRobotFiles


@dataclass(frozen=True)
class Frame:
    """
    One state of a demonstration and what is to be done in it.

    :param images: What each camera saw, by the camera's name: uint8 arrays of shape (height, width, 3).
    :param instruction: What the robot was told to do.
    :param state: What was recorded as the robot's state: float32 of shape (k,); None where nothing was.
    :param action: The label, in the environment's units: float32 of shape (d,), or int64 of shape (1,) for a Discrete space.
    :param episode: The number of its episode in the data set.
    """

    images: dict[str, np.ndarray]
    instruction: str
    state: np.ndarray | None
    action: np.ndarray
    episode: int


class Demonstrations(Sequence[Frame]):
    """
    The frames of a data set, or some of them, in any order and as often as wanted: ``demonstrations[index]``.

    Actions, states and instructions are in memory; images stay in their files and are decoded when asked for. An object may be
    pickled, and used in the worker processes of a PyTorch ``DataLoader``.

    :param files: The data set.
    :param indices: Which of its frames, int64 of shape (n,); None for all.
    """

    def __init__(self, files: LeRobotFiles, indices: np.ndarray | None = None) -> None:
        self._files = files
        #: Where each frame is in the data set, int64 of shape (n,).
        self.indices: np.ndarray = np.arange(files.n_frames) if indices is None else np.asarray(indices, dtype=np.int64)

    def __repr__(self) -> str:
        episodes = len(np.unique(self.episodes))
        return f"Demonstrations({str(self._files.folder)!r}: {len(self)} frames of {episodes} episodes)"

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Demonstrations(self._files, self.indices[index])
        where = int(self.indices[index])
        return Frame(
            images={camera: self._files.image(where, IMAGES + camera) for camera in self.cameras},
            instruction=self._files.instructions[where],
            state=None if self._files.states is None else self._files.states[where],
            action=self._files.actions[where],
            episode=int(self._files.episodes[where]),
        )

    def __iter__(self) -> Iterator[Frame]:
        return (self[index] for index in range(len(self)))

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of the cameras."""
        return self._files.cameras

    @property
    def fps(self) -> int:
        """Frames, and so actions, a second."""
        return self._files.fps

    @property
    def actions(self) -> np.ndarray:
        """All labels, shape (n, d): ``Frame.action``."""
        return np.asarray(self._files.actions[self.indices])

    @property
    def states(self) -> np.ndarray | None:
        """All states, shape (n, k): ``Frame.state``."""
        return None if self._files.states is None else self._files.states[self.indices]

    @property
    def episodes(self) -> np.ndarray:
        """The number of each frame's episode, int64 of shape (n,)."""
        return np.asarray(self._files.episodes[self.indices])

    @property
    def instructions(self) -> list[str]:
        """Each frame's instruction."""
        return [self._files.instructions[where] for where in self.indices]

    def image(self, index: int, camera: str | None = None) -> np.ndarray:
        """
        One image, without the rest of its frame.

        :param index: The frame.
        :param camera: The camera; None for the only one.
        :return: uint8 of shape (height, width, 3).
        :raises ValueError: if there is no such camera, or more than one to choose from.
        """
        if camera is None and len(self.cameras) == 1:
            (camera,) = self.cameras
        if camera not in self.cameras:
            raise ValueError(
                f"The cameras of {self._files.folder} are {list(self.cameras)}: name one of them, not {camera!r}."
            )
        return self._files.image(int(self.indices[index]), IMAGES + camera)

    def split(self, held_out: float = 0.1, *, seed: int = 0) -> tuple["Demonstrations", "Demonstrations"]:
        """
        Keep some episodes back to test a learner on: the frames of one episode resemble each other, so that they must not be
        on both sides.

        :param held_out: Share of each instruction's episodes to keep back, between 0 and 1; at least one episode is, and one
            is not.
        :param seed: Decides which.
        :return: The frames to learn from, and those held out.
        :raises ValueError: if the share is out of its range, or an instruction has a single episode.
        """
        if not 0 < held_out < 1:
            raise ValueError(f"held_out={held_out} is not a share between 0 and 1.")
        rng = np.random.default_rng(seed)
        instructions, episodes = np.array(self.instructions), self.episodes
        kept_back: list[int] = []
        for instruction in np.unique(instructions):
            own = np.unique(episodes[instructions == instruction])
            if len(own) < 2:
                raise ValueError(f"{str(instruction)!r} has {len(own)} episode, and a split needs two: record more of it.")
            count = int(np.clip(round(held_out * len(own)), 1, len(own) - 1))
            kept_back.extend(rng.permutation(own)[:count])
        is_held_out = np.isin(episodes, kept_back)
        return Demonstrations(self._files, self.indices[~is_held_out]), Demonstrations(self._files, self.indices[is_held_out])


def read_demonstrations(folder: str | Path) -> Demonstrations:
    """
    Read what ``record`` has written, or any other LeRobot v3.0 data set with an ``action``.

    :param folder: The data set.
    :return: Its frames.
    :raises DemonstrationsError: if there is no such data set, if it has no actions, or if a file of it is missing or not
        whole.
    :raises ImportError: if a library is missing that reads it; says what to install.
    """
    return Demonstrations(LeRobotFiles(Path(folder)))

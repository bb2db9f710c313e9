"""Teachers that the tests run in processes of their own, which import this file: it imports as little as it can."""

import ctypes
import os
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces

from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.common.type_aliases import RawObservation


class PlayTeacher(Teacher):
    """
    Acts as its first instruction says; knows one number of each observation and its process, which is most of what it answers.

    :param asks_for: The only type of space that it accepts, None for any.
    """

    gives_distribution = True
    takes_action_masks = True

    def __init__(self, asks_for: type[spaces.Space] | None = None) -> None:
        self.asks_for = asks_for

    def setup(self, action_space: spaces.Space) -> None:
        if self.asks_for is not None and not isinstance(action_space, self.asks_for):
            raise ValueError(f"{action_space} is no {self.asks_for.__name__}")
        self.action_space = action_space

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> Any:
        what, _, argument = (instructions or [""])[0].partition(" ")
        return getattr(self, what or "echo")(observations, instructions, *argument.split())

    def echo(self, observations: RawObservation, instructions: Sequence[str] | None) -> Any:
        x = observations["x"] if isinstance(observations, dict) else observations
        return TeacherOutput(x, std=np.full_like(x, 0.5)) if isinstance(self.action_space, spaces.Box) else x

    def echo_slowly(self, observations: RawObservation, instructions: Sequence[str] | None, seconds: str) -> Any:
        print("asked", flush=True)
        time.sleep(float(seconds))
        return self.echo(observations, instructions)

    def describe(self, observations: dict[str, np.ndarray], instructions: Sequence[str]) -> np.ndarray:
        """A row for each observation: the sum of its frame, the length of its instruction, and facts about the process."""
        facts = [os.getpid(), th.is_grad_enabled(), th.get_num_threads(), observations["frame"].flags.writeable]
        frames = observations["frame"].reshape(len(instructions), -1).sum(axis=1, dtype=np.int64)
        return np.array([[total, len(text), *facts] for total, text in zip(frames, instructions, strict=True)], np.float64)

    def enlarge(self, observations: np.ndarray, instructions: Sequence[str], n: str) -> np.ndarray:
        return np.arange(len(observations) * int(n), dtype=np.float64).reshape(len(observations), int(n))

    def fail(self, observations: RawObservation, instructions: Sequence[str] | None) -> Any:
        raise UnpicklableError(lambda: "a VLA has its moods")

    def crash(self, observations: RawObservation, instructions: Sequence[str] | None) -> Any:
        ctypes.string_at(0)


class UnpicklableError(Exception):
    """An exception that cannot cross a pipe."""

    def __str__(self) -> str:
        return self.args[0]()


box_player = partial(PlayTeacher, spaces.Box)


def broken() -> Teacher:
    raise OSError("no weights here")


def short_lived() -> Teacher:
    os._exit(3)


def sleeper() -> Teacher:
    time.sleep(600)
    return PlayTeacher()


def slow_to_load() -> Teacher:
    time.sleep(1.0)
    return PlayTeacher()


def network_teacher() -> Any:
    """A function whose answers, in float32, show every difference in how they were computed."""
    generator = th.Generator().manual_seed(0)
    weights = [th.randn(shape, generator=generator) for shape in ((3, 64), (64, 3))]

    def teach(observations: dict[str, np.ndarray]) -> np.ndarray:
        hidden = th.tanh(th.as_tensor(observations["name"]) @ weights[0])
        return (500 + 400 * th.tanh(hidden @ weights[1] / 8)).numpy()

    return teach


def elementwise_teacher() -> Any:
    return lambda observations: 500 + 400 * np.sin(observations["name"])


class MaskEcho(Teacher):
    """Answers with the first action that is allowed."""

    takes_action_masks = True

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        assert isinstance(observations, dict)
        return observations["action_mask"].argmax(axis=1)

"""A labeler, a rollout buffer and what a teacher sees of each of its entries, without any environment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.buffers import TeacherRolloutBuffer
from sb3_rpd.common.labeling import Labeler
from sb3_rpd.teachers.function import FunctionTeacher

SPACE = spaces.Box(-100.0, 100.0, (2,), np.float32)
N_STEPS, N_ENVS = 5, 3


def make_buffer() -> TeacherRolloutBuffer:
    return TeacherRolloutBuffer(N_STEPS, SPACE, SPACE, device="cpu", n_envs=N_ENVS)


def query(step: int, env: int, **info: Any) -> tuple[int, int, dict[str, Any]]:
    return step, env, info or {"observation": np.array([step, env], dtype=np.float32)}


def infos(step: int) -> list[dict[str, Any]]:
    return [query(step, env)[2] for env in range(N_ENVS)]


def repeat(observations: np.ndarray, instructions: Sequence[str] | None = None) -> np.ndarray:
    return observations


def make_labeler(function: Any = repeat, units: Any = lambda actions: actions) -> Labeler:
    return Labeler(None if function is None else FunctionTeacher(function), SPACE, units)

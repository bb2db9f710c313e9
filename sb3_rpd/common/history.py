"""Keeps what an environment offered some steps ago, for a teacher that reacts late."""

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np

from sb3_rpd.common.wrappers import ObservationSource


class HistoryWrapper(gym.Wrapper[Any, Any, Any, Any]):
    """
    Remember the last values of an observation source within the episode; nothing else about the environment changes.

    It goes below a ``TeacherActionWrapper``, which offers the memory as one more entry::

        env = HistoryWrapper(env, privileged_state, length=3)
        env = TeacherActionWrapper(env, observation={"privileged": privileged_state, "privileged_past": read_past})

    :param env: The environment to wrap.
    :param source: What to remember: a callable from the wrapped environment to an array.
    :param length: How many steps to look back.
    :raises ValueError: if ``length`` is not positive.
    """

    def __init__(self, env: gym.Env[Any, Any], source: ObservationSource, length: int) -> None:
        super().__init__(env)
        if length < 1:
            raise ValueError(f"A history of {length} steps remembers nothing; its length is at least 1.")
        self._source = source
        self._values: deque[np.ndarray] = deque(maxlen=length + 1)

    @property
    def past(self) -> np.ndarray:
        """Shape (length, ...), oldest first, so ``past[-k]`` is k steps old; before the first step lies the first value."""
        return np.stack(list(self._values)[:-1])

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        observation, info = self.env.reset(seed=seed, options=options)
        self._values.extend([np.array(self._source(self.env))] * (self._values.maxlen or 1))
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        result = self.env.step(action)
        self._values.append(np.array(self._source(self.env)))
        return result


def read_past(env: gym.Env[Any, Any]) -> np.ndarray:
    """
    The memory of the ``HistoryWrapper`` around an environment: an observation source for ``TeacherActionWrapper``.

    :param env: The environment, which has a ``HistoryWrapper``.
    """
    return np.asarray(env.get_wrapper_attr("past"))

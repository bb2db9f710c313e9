"""Meta-World's scripted policies as teachers."""

from collections.abc import Sequence

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.offers import describe_observations
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import cut
from sb3_rpd.envs.metaworld.tasks import policy_class

_N_NUMBERS = 39


class MetaWorldTeacher(Teacher):
    """
    The policy that Meta-World brings for each of its 50 tasks, a function of the observation that the student has too.

    Its actions are clipped to [-1, 1], as the simulator does it. ``DegradedTeacher`` makes it worse. Needs
    ``pip install "sb3_rpd[metaworld]"``.

    :param task: A task, "drawer-open-v3".
    :raises ImportError: if Meta-World is missing; says what to install.
    :raises ValueError: if there is no such task; lists them.
    """

    def __init__(self, task: str) -> None:
        self.task = task
        self._policy = policy_class(task)()

    def __repr__(self) -> str:
        return f"MetaWorldTeacher({self.task!r})"

    def setup(self, action_space: spaces.Space) -> None:
        if not (isinstance(action_space, spaces.Box) and action_space == spaces.Box(-1, 1, (4,), action_space.dtype)):
            raise TeacherError(
                f"{self!r} acts in Box(-1, 1, (4,)), as Meta-World does; the action space is {cut(action_space)}."
            )

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        if isinstance(observations, dict) or observations.shape[1:] != (_N_NUMBERS,):
            raise TeacherError(
                f"{self!r} reads Meta-World's observation, a single array of shape (n, {_N_NUMBERS}); the environment offers "
                f"{describe_observations(observations)}."
            )
        # The policies compute in the simulator's float64
        actions = [self._policy.get_action(row) for row in observations.astype(np.float64)]
        return np.clip(np.reshape(actions, (len(observations), 4)), -1, 1).astype(np.float32)

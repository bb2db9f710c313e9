"""A teacher made worse on purpose, in the ways in which a vision-language-action model is wrong."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, ask_teacher
from sb3_rpd.common.type_aliases import RawObservation
from sb3_rpd.common.wording import cut, shortened
from sb3_rpd.teachers.faults import TeacherFault
from sb3_rpd.teachers.resolve import make_teacher

#: What the name of an observation's history ends with: ``HistoryWrapper`` offers it.
PAST_SUFFIX = "_past"


class DegradedTeacher(Teacher):
    """
    Another teacher's actions with noise, a bias, a late gripper and plain nonsense in some states; clipped to the Box.
    ``faults`` holds what else it gets wrong each time: an inverted axis, a stall near its aim, an aim that is misjudged.

    The same seed and the same queries in the same order since ``setup`` give the same answers, however the queries are
    cut into batches.

    :param teacher: The teacher to make worse, or anything that ``make_teacher`` accepts. Its action space must be a Box.
    :param noise_std: Standard deviation of Gaussian noise, in the environment's units: one number, or one for each dimension.
    :param bias: Constant offset, in the environment's units: likewise.
    :param gripper_delay: The last dimension of the action, the gripper, is what the teacher would have said so many steps ago.
        A teacher has no memory, so the environment must offer, beside each observation ``x``, its history ``x_past`` of
        shape (n, length, ...), ``x_past[:, -k]`` being k steps old: see ``HistoryWrapper``.
    :param faults: Further systematic errors. All of them change what the teacher sees, of the past as well, and then, one
        after the other, what it does; noise and bias come on top.
    :param wrong_fraction: Share of the states that are answered by an action drawn uniformly from the Box.
    :param seed: Seed of all that is random.
    :raises ValueError: if a setting is out of its range.
    """

    def __init__(
        self,
        teacher: Any,
        *,
        noise_std: float | Sequence[float] | np.ndarray = 0.0,
        bias: float | Sequence[float] | np.ndarray = 0.0,
        gripper_delay: int = 0,
        faults: Sequence[TeacherFault] = (),
        wrong_fraction: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.teacher = make_teacher(teacher)
        self.noise_std = np.asarray(noise_std, dtype=np.float64)
        self.bias = np.asarray(bias, dtype=np.float64)
        self.gripper_delay = gripper_delay
        self.faults = tuple(faults)
        self.wrong_fraction = wrong_fraction
        self.seed = seed
        if (self.noise_std < 0).any():
            raise ValueError(f"noise_std={noise_std} is negative.")
        if gripper_delay < 0:
            raise ValueError(f"gripper_delay={gripper_delay} is negative.")
        if not 0 <= wrong_fraction <= 1:
            raise ValueError(f"wrong_fraction={wrong_fraction} is not between 0 and 1.")
        self._space: spaces.Box | None = None

    def __repr__(self) -> str:
        return f"DegradedTeacher({self.teacher!r})"

    def setup(self, action_space: spaces.Space) -> None:
        self.teacher.setup(action_space)
        if not isinstance(action_space, spaces.Box):
            raise TeacherError(f"A DegradedTeacher adds noise to actions in a Box, not in {cut(action_space)}.")
        if self.wrong_fraction > 0 and not action_space.is_bounded():
            raise TeacherError(
                f"wrong_fraction draws actions uniformly from the Box, which needs bounds: {cut(action_space)}."
            )
        for name, value in (("noise_std", self.noise_std), ("bias", self.bias)):
            if value.ndim > 0 and value.shape != action_space.shape:
                raise TeacherError(f"{name} has the shape {value.shape}, the environment's actions {action_space.shape}.")
        self._space = action_space
        # one stream for each purpose: then the answers do not depend on how the queries are cut into batches
        streams = np.random.SeedSequence(self.seed).spawn(3)
        self._noise_rng, self._choice_rng, self._wrong_rng = (np.random.default_rng(stream) for stream in streams)

    def predict(self, observations: RawObservation, instructions: Sequence[str] | None = None) -> np.ndarray:
        if self._space is None:
            raise TeacherError("A DegradedTeacher must know the action space before it is asked: call setup(action_space).")
        actions = self._ask(observations, instructions)
        if self.gripper_delay > 0:
            actions[..., -1] = self._ask(self._past(observations), instructions)[..., -1]
        for fault in self.faults:
            actions = fault.act(observations, actions)
        actions += self.bias + self.noise_std * self._noise_rng.standard_normal(actions.shape)
        # drawn for every state, so that the streams stay in step
        nonsense = self._wrong_rng.uniform(size=actions.shape)
        if self.wrong_fraction > 0:
            wrong = self._choice_rng.random(len(actions)) < self.wrong_fraction
            low, high = self._space.low.astype(np.float64), self._space.high.astype(np.float64)
            actions[wrong] = (low + nonsense * (high - low))[wrong]
        return np.clip(actions, self._space.low, self._space.high).astype(np.float32)

    def close(self) -> None:
        self.teacher.close()

    def _ask(self, observations: RawObservation, instructions: Sequence[str] | None) -> np.ndarray:
        for fault in self.faults:
            observations = fault.see(observations)
        return np.array(ask_teacher(self.teacher, Questions(observations, instructions)).actions, dtype=np.float64)

    def _past(self, observations: RawObservation) -> RawObservation:
        """The observations of ``gripper_delay`` steps ago."""
        present = [name for name in observations if not name.endswith(PAST_SUFFIX)] if isinstance(observations, dict) else []
        missing = [name + PAST_SUFFIX for name in present if name + PAST_SUFFIX not in observations]
        if not present or missing:
            raise TeacherError(
                f"gripper_delay={self.gripper_delay} needs the past: the environment does not offer "
                f"{shortened(missing) if missing else 'named observations'}. Put HistoryWrapper(env, source, "
                f"length={self.gripper_delay}) below its TeacherActionWrapper, and offer read_past there."
            )
        assert isinstance(observations, dict)
        length = min(observations[name + PAST_SUFFIX].shape[1] for name in present)
        if length < self.gripper_delay:
            raise TeacherError(
                f"gripper_delay={self.gripper_delay} looks further back than the {length} steps that the environment's "
                f"HistoryWrapper keeps: give it length={self.gripper_delay}."
            )
        return {name: observations[name + PAST_SUFFIX][:, -self.gripper_delay] for name in present}

"""Asks the teacher about entries of a rollout buffer, and writes its labels there."""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from gymnasium import spaces

from sb3_rpd.common.asking import ask_about, explain_failure, set_up, take_actions
from sb3_rpd.common.buffers import TeacherLabelsMixin
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.label_statistics import LabelStatistics
from sb3_rpd.common.teacher import Teacher
from sb3_rpd.common.teacher_outputs import CheckedOutput
from sb3_rpd.common.type_aliases import TeacherInfo
from sb3_rpd.common.wording import cut


class LabelQueries(NamedTuple):
    """
    Rollout-buffer entries that wait for their labels, in columns of equal length.

    :param steps: Position of each in the rollout.
    :param envs: Its environment.
    :param infos: What the teacher may see of it.
    """

    steps: list[int]
    envs: list[int]
    infos: list[TeacherInfo]

    def extend(self, step: int, envs: list[int], infos: Sequence[TeacherInfo]) -> None:
        """
        Add entries of one step.

        :param step: Its position in the rollout.
        :param envs: The environments whose entries are added.
        :param infos: What the teacher may see of each environment.
        """
        self.steps.extend([step] * len(envs))
        self.envs.extend(envs)
        self.infos.extend([infos[env] for env in envs])

    def pop_first(self, count: int) -> "LabelQueries":
        """
        :param count: A number of entries.
        :return: That many, or as many as there are, from the front; they are no longer here.
        """
        first = LabelQueries(self.steps[:count], self.envs[:count], self.infos[:count])
        for column in self:
            del column[:count]
        return first


class Labeler:
    """
    Turns a teacher's answers into labels in a rollout buffer.

    :param teacher: Whom to ask; None where controllers in the environments give all actions.
    :param action_space: The action space of one environment.
    :param to_policy_units: Maps actions of shape (n, action_dim) from the environment's units to the policy's.
    :raises TeacherError: if the teacher, or any student of SB3, cannot act in that space.
    """

    def __init__(
        self, teacher: Teacher | None, action_space: spaces.Space, to_policy_units: Callable[[np.ndarray], np.ndarray]
    ) -> None:
        set_up(teacher, action_space)
        self.teacher = teacher
        self.action_space = action_space
        self.to_policy_units = to_policy_units
        self._has_answered = False
        self._has_warned = False

    @property
    def source(self) -> str:
        """Where the labels come from, for messages."""
        return "the controller in the environment" if self.teacher is None else f"the teacher {self.teacher!r}"

    @property
    def gives_distribution(self) -> bool:
        """Whether labels come with a standard deviation or logits."""
        return self.teacher is not None and self.teacher.gives_distribution

    def ask(self, buffer: TeacherLabelsMixin, queries: LabelQueries) -> LabelStatistics:
        """
        Ask the teacher about one batch of entries and write its labels.

        :param buffer: Where the labels go.
        :param queries: The entries.
        :return: What it took.
        :raises TeacherError: if the teacher fails, or answers with a wrong shape or dtype, before it ever answered well.
        """
        return self._label(buffer, queries, self._ask)

    def take_actions(self, buffer: TeacherLabelsMixin, queries: LabelQueries) -> LabelStatistics:
        """
        Write the actions that controllers in the environments have given already.

        :param buffer: Where the labels go.
        :param queries: The entries, each with an ``"action"``.
        :return: What it took.
        :raises TeacherError: if an action has the wrong shape or dtype before any had the right one.
        """
        return self._label(buffer, queries, lambda infos: take_actions(infos, self.action_space))

    def _ask(self, infos: Sequence[TeacherInfo]) -> CheckedOutput:
        if self.teacher is None:
            raise TeacherError("there is no teacher to ask where an environment's controller gives no action")
        return ask_about(self.teacher, infos, self.action_space)

    def _label(
        self,
        buffer: TeacherLabelsMixin,
        queries: LabelQueries,
        answer: Callable[[Sequence[TeacherInfo]], CheckedOutput],
    ) -> LabelStatistics:
        started, n_asked = time.perf_counter(), len(queries.infos)
        try:
            output = answer(queries.infos)
        except Exception as error:
            if not self._has_answered:
                raise TeacherError(
                    f"The first query to {self.source} failed: {explain_failure(error, queries.infos)}."
                ) from error
            complaint = str(error) if isinstance(error, TeacherError) else f"it raised {cut(repr(error))}"
            self.warn_once(complaint)
            return LabelStatistics(n_asked, n_asked, time.perf_counter() - started, complaint)
        self._has_answered = True
        return self._write(buffer, queries, output, time.perf_counter() - started)

    def _write(
        self, buffer: TeacherLabelsMixin, queries: LabelQueries, output: CheckedOutput, seconds: float
    ) -> LabelStatistics:
        steps, envs = np.array(queries.steps), np.array(queries.envs)
        buffer.add_labels(steps, envs, output._replace(actions=self.to_policy_units(output.actions)))
        if output.complaint is not None:
            self.warn_once(output.complaint)
        missing = int(np.isnan(output.actions).any(axis=1).sum())
        clipped = 0.0 if output.clipped is None else float(output.clipped.sum())
        return LabelStatistics(len(steps), missing, seconds, output.complaint, clipped)

    def warn_once(self, complaint: str) -> None:
        """
        Say that labels are missing, if it has not been said.

        :param complaint: Why.
        """
        if self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f"Labels are missing from {self.source}: {complaint}. Training goes on without them, the log counts them as "
            "teacher/missing; this is said once.",
            stacklevel=2,
        )

"""The labeler, asked about one batch."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from toy_labeling import N_STEPS, SPACE, make_buffer, make_labeler, query, repeat

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.labeling import Labeler, LabelQueries
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.teachers.function import FunctionTeacher

pytestmark = pytest.mark.usefixtures("no_thread_left")


def batch(*queries: tuple[int, int, dict[str, Any]]) -> LabelQueries:
    return LabelQueries(*(list(column) for column in zip(*queries, strict=True)))


def test_answers_go_to_their_entries_in_the_units_of_the_policy() -> None:
    buffer = make_buffer()
    labeler = make_labeler(units=lambda actions: actions / 10)
    statistics = labeler.ask(buffer, batch(query(4, 2), query(0, 1)))
    assert buffer.teacher_actions[4, 2].tolist() == np.float32([0.4, 0.2]).tolist()
    assert buffer.teacher_actions[0, 1].tolist() == np.float32([0.0, 0.1]).tolist()
    assert np.isfinite(buffer.teacher_actions).sum() == 4
    assert statistics[:2] == (2, 0)
    assert statistics.seconds > 0
    assert statistics.complaint is None


def test_teacher_is_set_up_once_before_the_first_query() -> None:
    calls: list[Any] = []

    class Logging(Teacher):
        def setup(self, action_space: spaces.Space) -> None:
            calls.append(action_space)

        def predict(self, observations: Any, instructions: Any = None) -> np.ndarray:
            calls.append("predict")
            return observations

    labeler = Labeler(Logging(), SPACE, lambda actions: actions)
    for _ in range(2):
        labeler.ask(make_buffer(), batch(query(0, 0)))
    assert calls == [SPACE, "predict", "predict"]


@pytest.mark.parametrize("start", [-1, 1])
def test_space_that_does_not_begin_at_0_is_refused(start: int) -> None:
    for space in (spaces.Discrete(3, start=start), spaces.MultiDiscrete([2, 2], start=[0, start])):
        with pytest.raises(TeacherError, match="begin at 0"):
            Labeler(FunctionTeacher(repeat), space, lambda actions: actions)


def test_torch_builds_no_graph_inside_the_teacher() -> None:
    enabled = []

    def ask_torch(observations: np.ndarray) -> np.ndarray:
        enabled.append(th.is_grad_enabled())
        return observations

    make_labeler(ask_torch).ask(make_buffer(), batch(query(0, 0)))
    assert enabled == [False]
    assert th.is_grad_enabled()


def test_distribution_is_kept() -> None:
    buffer = make_buffer()
    teacher = FunctionTeacher(lambda observations: TeacherOutput(observations, std=observations + 1), gives_distribution=True)
    labeler = Labeler(teacher, SPACE, lambda actions: actions)
    assert labeler.gives_distribution
    labeler.ask(buffer, batch(query(3, 1)))
    assert buffer._flat_distributions[1 * N_STEPS + 3].tolist() == [4.0, 2.0]


def test_clipped_numbers_are_counted() -> None:
    # Of six numbers one is beyond 100 by less than a hundredth of the width, and one row is too far out to be a label
    answers = np.array([[101.0, 0.0], [100.0, -100.0], [0.0, 300.0]])
    queries = batch(*(query(step, 0) for step in range(3)))
    with pytest.warns(UserWarning, match="outside of Box"):
        statistics = make_labeler(lambda observations: answers).ask(make_buffer(), queries)
    assert statistics.missing == 1
    assert statistics.clipped == 0.5
    assert statistics.clipped_share == 0.25


# ---------------------------------------------------------------- failures


def fails(observations: np.ndarray) -> np.ndarray:
    raise OSError("no connection")


def test_first_failure_is_an_error_and_a_later_one_masks() -> None:
    labeler = make_labeler(fails)
    with pytest.raises(
        TeacherError, match=r"first query to the teacher .*FunctionTeacher.* failed.*OSError\('no connection'\)"
    ):
        labeler.ask(make_buffer(), batch(query(0, 0)))
    labeler.teacher = FunctionTeacher(repeat)
    labeler.ask(make_buffer(), batch(query(0, 0)))
    labeler.teacher = FunctionTeacher(fails)
    buffer = make_buffer()
    with pytest.warns(UserWarning, match="no connection.*teacher/missing.*said once"):
        statistics = labeler.ask(buffer, batch(query(0, 0), query(0, 1)))
    assert statistics[:2] == (2, 2)
    assert "no connection" in statistics.complaint
    assert np.isnan(buffer.teacher_actions).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        labeler.ask(buffer, batch(query(0, 0)))


def test_unusable_row_in_the_first_answer_is_no_error() -> None:
    """A server that answers with NaN says "not this one", not "I do not fit"."""
    with pytest.warns(UserWarning, match="1 of 2 answers have NaN"):
        statistics = make_labeler(lambda observations: np.where(observations == 1, np.nan, observations)).ask(
            make_buffer(), batch(query(0, 0), query(0, 1))
        )
    assert statistics[:2] == (2, 1)


def test_actions_of_controllers_are_taken_as_they_are() -> None:
    buffer = make_buffer()
    labeler = make_labeler(None)
    assert not labeler.gives_distribution
    actions = [query(1, env, action=np.array([2 * env + 1, 2 * env + 2])) for env in (1, 2)]
    statistics = labeler.take_actions(buffer, batch(*actions))
    assert buffer.teacher_actions[1, 1:].tolist() == [[3, 4], [5, 6]]
    assert statistics[:2] == (2, 0)
    with pytest.warns(UserWarning, match="'action' in different shapes"):
        later = labeler.take_actions(buffer, batch(query(2, 0, action=np.zeros(2)), query(2, 1, action=np.zeros(3))))
    assert later[:2] == (2, 2)


def test_nobody_to_ask() -> None:
    with pytest.raises(TeacherError, match="there is no teacher to ask"):
        make_labeler(None).ask(make_buffer(), batch(query(0, 0)))

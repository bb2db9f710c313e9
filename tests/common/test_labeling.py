"""The labeler and the labeling of one rollout, without any environment."""

import threading
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_rpd.common.buffers import TeacherRolloutBuffer
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.label_statistics import LabelStatistics
from sb3_rpd.common.labeling import Labeler, LabelQueries
from sb3_rpd.common.rollout_labeling import RolloutLabeling
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.teachers.function import FunctionTeacher

SPACE = spaces.Box(-100.0, 100.0, (2,), np.float32)
N_STEPS, N_ENVS = 5, 3
pytestmark = pytest.mark.usefixtures("no_thread_left")


def make_buffer() -> TeacherRolloutBuffer:
    return TeacherRolloutBuffer(N_STEPS, SPACE, SPACE, device="cpu", n_envs=N_ENVS)


def query(step: int, env: int, **info: Any) -> tuple[int, int, dict[str, Any]]:
    return step, env, info or {"observation": np.array([step, env], dtype=np.float32)}


def batch(*queries: tuple[int, int, dict[str, Any]]) -> LabelQueries:
    return LabelQueries(*(list(column) for column in zip(*queries, strict=True)))


def infos(step: int) -> list[dict[str, Any]]:
    return [query(step, env)[2] for env in range(N_ENVS)]


def repeat(observations: np.ndarray, instructions: Sequence[str] | None = None) -> np.ndarray:
    return observations


def make_labeler(function: Any = repeat, units: Any = lambda actions: actions) -> Labeler:
    return Labeler(None if function is None else FunctionTeacher(function), SPACE, units)


# ---------------------------------------------------------------- statistics


def test_statistics_add_up_and_keep_the_first_complaint() -> None:
    merged = LabelStatistics(4, 1, 0.5).merged(LabelStatistics(6, 3, 0.25, "b")).merged(LabelStatistics(0, 0, 0.0, "c"))
    assert merged == LabelStatistics(10, 4, 0.75, "b")
    assert merged.missing_share == 0.4
    assert LabelStatistics().missing_share == 0.0


def test_clipped_share_is_that_of_the_labels_that_there_are() -> None:
    merged = LabelStatistics(4, 1, clipped=1.5).merged(LabelStatistics(6, 3, clipped=1.0))
    assert merged.clipped_share == 2.5 / 6
    assert LabelStatistics(3, 3).clipped_share == 0.0


def test_teacher_is_quick_by_the_seconds_for_a_full_batch() -> None:
    # 0.004 s for 1000 entries are 0.001 s for a batch of 250, and 0.004 s for one of 1000
    statistics = LabelStatistics(asked=1000, seconds=0.004)
    assert statistics.is_quick(250)
    assert not statistics.is_quick(1000)


# ---------------------------------------------------------------- one batch


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


# ---------------------------------------------------------------- a rollout


@pytest.mark.parametrize("asynchronous", [True, False])
@pytest.mark.parametrize("batch_size", [1, 2, 4, 15, 100])
def test_batches_are_full_but_for_the_last(batch_size: int, asynchronous: bool) -> None:
    sizes: list[int] = []

    def count(observations: np.ndarray) -> np.ndarray:
        sizes.append(len(observations))
        return observations

    buffer = make_buffer()
    with RolloutLabeling(make_labeler(count), buffer, batch_size=batch_size, asynchronous=asynchronous) as labeling:
        for step in range(N_STEPS):
            labeling.submit(step, infos(step), np.ones(N_ENVS, dtype=bool))
        statistics = labeling.join()
    assert statistics[:2] == (15, 0)
    full, rest = divmod(15, batch_size)
    assert sizes == [batch_size] * full + [rest] * (rest > 0)
    expected = np.stack(np.meshgrid(np.arange(N_STEPS), np.arange(N_ENVS), indexing="ij"), axis=-1)
    np.testing.assert_array_equal(buffer.teacher_actions, expected)


def test_only_what_is_chosen_is_asked() -> None:
    buffer = make_buffer()
    with RolloutLabeling(make_labeler(), buffer, batch_size=2, asynchronous=False) as labeling:
        labeling.submit(0, infos(0), np.array([False, False, True]))
        labeling.submit(1, infos(1), np.array([False, False, False]))
        assert labeling.join()[:2] == (1, 0)
    assert np.argwhere(~np.isnan(buffer.teacher_actions[..., 0])).tolist() == [[0, 2]]


def test_finished_actions_and_questions_in_one_step() -> None:
    buffer = make_buffer()
    mixed = [{"action": np.array([7.0, 7.0])}, query(0, 1)[2], {"action": np.array([8.0, 8.0])}]
    with RolloutLabeling(make_labeler(), buffer, batch_size=2, asynchronous=True) as labeling:
        labeling.submit(0, mixed, np.ones(3, dtype=bool))
        # No thread is needed for those
        assert buffer.teacher_actions[0, [0, 2], 0].tolist() == [7.0, 8.0]
        assert labeling.join()[:2] == (3, 0)
    assert buffer.teacher_actions[0, 1].tolist() == [0.0, 1.0]


def test_leaving_waits_for_the_question_under_way_and_drops_the_others() -> None:
    started, go_on = threading.Event(), threading.Event()
    asked: list[float] = []

    def slow(observations: np.ndarray) -> np.ndarray:
        started.set()
        assert go_on.wait(20)
        asked.append(float(observations[0, 0]))
        return observations

    waiting = [info["observation"] for info in infos(1)]
    references = [weakref.ref(array) for array in waiting]
    labeling = RolloutLabeling(make_labeler(slow), make_buffer(), batch_size=3, asynchronous=True)
    with labeling:
        labeling.submit(0, infos(0), np.ones(3, dtype=bool))
        assert started.wait(20)
        labeling.submit(1, [{"observation": array} for array in waiting], np.ones(3, dtype=bool))
        labeling.submit(2, infos(2), np.array([True, False, False]))
        del waiting
        assert all(reference() is not None for reference in references)
        threading.Timer(0.05, go_on.set).start()
    assert asked == [0.0]
    assert all(reference() is None for reference in references)
    assert not labeling._gathered.infos


def test_first_failure_comes_out_of_the_next_step_that_knows_of_it() -> None:
    go_on = threading.Event()

    def fail(observations: np.ndarray) -> np.ndarray:
        assert go_on.wait(20)
        raise OSError("no connection")

    with RolloutLabeling(make_labeler(fail), make_buffer(), batch_size=3, asynchronous=True) as labeling:
        labeling.submit(0, infos(0), np.ones(3, dtype=bool))
        go_on.set()
        labeling._answers[0].exception(20)
        with pytest.raises(TeacherError, match="no connection"):
            labeling.submit(1, infos(1), np.array([True, False, False]))

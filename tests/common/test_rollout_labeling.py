"""The labeling of one rollout, without any environment."""

import threading
import weakref

import numpy as np
import pytest
from toy_labeling import N_ENVS, N_STEPS, infos, make_buffer, make_labeler, query

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.rollout_labeling import RolloutLabeling

pytestmark = pytest.mark.usefixtures("no_thread_left")


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

import logging
import threading
import time

import numpy as np
import pytest

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import TeacherOutput
from sb3_rpd.teachers.remote.links import Limits, Link, LinkError, LinkPool, NoAnswerInTimeError, PatientLink, UnreachableError


def about(*numbers: float) -> Questions:
    return Questions({"x": np.array(numbers)[:, np.newaxis]})


class ScriptedLink(Link):
    """Does what its script says at each opening ("open", "refuse") and each question ("answer", "break", "error")."""

    limits = Limits(rows=10)

    def __init__(self, *script: str) -> None:
        self.script = list(script)
        self.done: list[str] = []

    def _next(self) -> str:
        self.done.append(self.script.pop(0))
        return self.done[-1]

    def open(self) -> None:
        if self._next() == "refuse":
            raise LinkError("refused")

    def ask(self, questions: Questions) -> TeacherOutput:
        what = self._next()
        if what == "break":
            raise LinkError("broken")
        if what == "error":
            raise TeacherError("the model broke")
        return TeacherOutput(questions.named_observations["x"] * 10)

    def close(self) -> None:
        self.done.append("close")


def patient(link: Link, patience: float = 10.0) -> PatientLink:
    return PatientLink(link, "ws://there", patience, threading.Event())


def test_a_question_is_asked_again_over_a_new_connection():
    link = ScriptedLink("open", "break", "refuse", "open", "answer")
    assert patient(link).ask(about(1.0)).actions.tolist() == [[10.0]]
    assert link.done == ["open", "break", "close", "refuse", "close", "open", "answer"]


def test_a_connection_is_kept():
    link = ScriptedLink("open", "answer", "answer")
    asking = patient(link)
    asking.ask(about(1.0))
    asking.ask(about(2.0))
    assert link.done == ["open", "answer", "answer"]


def test_the_pauses_grow_and_end_with_the_patience(caplog, monkeypatch):
    pauses = []
    stop = threading.Event()
    monkeypatch.setattr(stop, "wait", lambda pause: pauses.append(pause))
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0] + sum(pauses))
    link = ScriptedLink(*["refuse"] * 100)
    with caplog.at_level(logging.WARNING), pytest.raises(UnreachableError, match=r"ws://there.*refused.*20 s"):
        PatientLink(link, "ws://there", 20.0, stop).ask(about(1.0))
    assert pauses[:8] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    assert sum(pauses) == pytest.approx(20.0)
    assert len(caplog.records) == 1


def test_a_server_that_is_away_costs_one_try_until_it_is_back():
    link = ScriptedLink("refuse", "refuse", "open", "answer", "break", "open", "answer")
    asking = patient(link, patience=0.0)
    for _ in range(2):
        with pytest.raises(UnreachableError):
            asking.ask(about(1.0))
    assert link.done == ["refuse", "close", "refuse", "close"]
    asking.ask(about(1.0))
    asking._patience = 10.0
    asking.ask(about(1.0))
    assert link.script == []


def test_an_error_of_the_server_is_not_tried_again():
    link = ScriptedLink("open", "error", "open", "answer")
    asking = patient(link)
    with pytest.raises(TeacherError, match="the model broke"):
        asking.ask(about(1.0))
    assert link.done == ["open", "error", "close"]
    asking.ask(about(1.0))


def pool_of(*links: Link, patience: float = 0.0) -> LinkPool:
    remaining = list(links)
    return LinkPool(lambda: remaining.pop(0), "ws://there", connections=len(links), patience=patience)


def test_a_pool_keeps_the_order_of_the_questions_and_names_what_failed(no_thread_left):
    pool = pool_of(ScriptedLink("open", "answer", "error", "open", "answer"))
    outcomes = pool.ask_all([about(1.0), about(2.0), about(3.0, 4.0)])
    assert isinstance(outcomes[1], TeacherError)
    assert outcomes[0].actions.tolist() == [[10.0]]
    assert outcomes[2].actions.tolist() == [[30.0], [40.0]]
    pool.close()
    pool.close()


def test_a_link_that_cannot_reach_its_server_takes_no_further_questions():
    link = ScriptedLink("open", "answer", "break", "refuse")
    outcomes = pool_of(link).ask_all([about(float(i)) for i in range(50)])
    assert isinstance(outcomes[0], TeacherOutput)
    assert all(isinstance(outcome, UnreachableError) for outcome in outcomes[1:])
    assert link.done == ["open", "answer", "break", "close"]


def test_the_other_links_answer_what_a_broken_one_leaves(no_thread_left):
    class Meeting(ScriptedLink):
        barrier = threading.Barrier(2)

        def open(self):
            self.barrier.wait()
            super().open()

    good, bad = Meeting("open", *["answer"] * 9), Meeting("refuse")
    pool = pool_of(good, bad)
    batches = [about(float(i)) for i in range(10)]
    outcomes = pool.ask_all(batches)
    assert sum(isinstance(outcome, UnreachableError) for outcome in outcomes) == 1
    assert good.done.count("answer") == 9
    pool.close()


def test_closing_ends_the_wait_for_a_server():
    link = ScriptedLink(*["refuse"] * 1000)
    pool = pool_of(link, ScriptedLink(*["refuse"] * 1000), patience=3600.0)
    outcomes = []
    asking = threading.Thread(target=lambda: outcomes.extend(pool.ask_all([about(1.0), about(2.0)])))
    asking.start()
    while len(link.done) < 4:
        time.sleep(0.001)
    pool.close()
    asking.join()
    assert all(isinstance(outcome, UnreachableError) for outcome in outcomes)


def test_limits_by_rows_and_bytes():
    batch = Questions({"image": np.zeros((9, 10, 10, 3), np.uint8), "state": np.zeros((9, 2), np.float32)})
    assert Limits(rows=5).rows_of(batch) == 5
    assert Limits(rows=5, nbytes=1000).rows_of(batch) == 3
    assert Limits(rows=5, nbytes=10).rows_of(batch) == 1


def test_a_server_that_takes_less_after_its_restart_gets_smaller_pieces():
    sizes, takes = [], [4, 2]

    class Shrinking(ScriptedLink):
        def open(self):
            super().open()
            self.limits = Limits(rows=takes.pop(0))

        def ask(self, questions):
            sizes.append(len(questions))
            return super().ask(questions)

    link = Shrinking("open", "answer", "break", "open", *["answer"] * 2)
    pool = pool_of(link, patience=10.0)
    assert pool.limits() == Limits(4)
    whole = about(1.0, 2.0, 3.0, 4.0)
    assert pool.ask_all([whole])[0].actions.tolist() == [[10.0], [20.0], [30.0], [40.0]]
    assert pool.ask_all([whole])[0].actions.tolist() == [[10.0], [20.0], [30.0], [40.0]]
    assert sizes == [4, 4, 2, 2]
    assert pool.limits() == Limits(2)


def test_the_cure_is_that_of_the_cause():
    class Slow(ScriptedLink):
        def ask(self, questions):
            raise NoAnswerInTimeError(2.5)

    with pytest.raises(
        UnreachableError, match=r"no answer within 2\.5 s.*minutes for its first answer.*larger timeout than 2\.5"
    ):
        patient(Slow("open"), patience=0.0).ask(about(1.0))
    with pytest.raises(UnreachableError, match=r"\(refused\).*Is it running"):
        patient(ScriptedLink("refuse"), patience=0.0).ask(about(1.0))

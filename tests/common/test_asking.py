"""From an offer to checked actions, and from a failure to words, without any environment."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_rpd.common.asking import act_alone, ask_about, check_offer, explain_failure, set_up, take_actions
from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.teachers.function import FunctionTeacher

BOX = spaces.Box(-10.0, 10.0, (2, 1), np.float32)


def seen(*numbers: float) -> dict[str, Any]:
    return {"observation": np.array([[number] for number in numbers])}


def done(*numbers: float) -> dict[str, Any]:
    return {"action": np.array([[number] for number in numbers])}


DOUBLE = FunctionTeacher(lambda observations: 2 * observations)


# ---------------------------------------------------------------- acting alone


def test_controllers_and_teacher_act_each_where_they_are() -> None:
    asked: list[list[float]] = []

    def double(observations: np.ndarray) -> np.ndarray:
        asked.append(observations.ravel().tolist())
        return 2 * observations

    actions = act_alone(FunctionTeacher(double), [seen(1, 2), done(-1, -2), seen(3, 4)], BOX)
    assert actions.dtype == np.float32
    assert actions.tolist() == [[[2], [4]], [[-1], [-2]], [[6], [8]]]
    assert asked == [[1, 2, 3, 4]]
    assert act_alone(None, [done(5, 6)], BOX).tolist() == [[[5], [6]]]


@pytest.mark.parametrize(
    ("space", "answer", "expected"),
    [
        (spaces.Discrete(5), np.array([4.0, 0.0]), [4, 0]),
        (spaces.MultiDiscrete([3, 2]), np.array([[2, 1], [0, 0]]), [[2, 1], [0, 0]]),
        (spaces.MultiBinary(2), np.array([[True, False], [True, True]]), [[1, 0], [1, 1]]),
    ],
)
def test_discrete_actions_are_integers_of_the_spaces_shape(space: spaces.Space, answer: np.ndarray, expected: list) -> None:
    for actions in (
        act_alone(FunctionTeacher(lambda observations: answer), [seen(0), seen(1)], space),
        act_alone(None, [{"action": row} for row in answer], space),
    ):
        assert actions.dtype == np.int64
        assert actions.tolist() == expected


def test_who_left_a_state_unanswered_is_named() -> None:
    """Also where there is a teacher, and it was not the one to act."""
    with pytest.raises(TeacherError, match=r"^The controller in the environment cannot act alone: 1 of 1 answers have NaN"):
        act_alone(DOUBLE, [done(np.nan, 0), seen(1, 2)], BOX)
    with pytest.raises(TeacherError, match=r"^The teacher FunctionTeacher\(.*\) cannot act alone: 1 of 2 answers have NaN"):
        act_alone(DOUBLE, [done(0, 0), seen(1, 2), seen(np.nan, 2)], BOX)
    with pytest.raises(TeacherError, match="There is no teacher, and the environments have no controller"):
        act_alone(None, [done(0, 0), seen(1, 2)], BOX)


# ---------------------------------------------------------------- asking


class Promises(Teacher):
    """Promises a distribution and gives what it was made with."""

    gives_distribution = True

    def __init__(self, output: TeacherOutput) -> None:
        self.output = output

    def predict(self, observations: Any, instructions: Sequence[str] | None = None) -> TeacherOutput:
        return self.output


def test_distribution_that_was_promised_must_be_the_spaces_own() -> None:
    choice, choices = np.array([1]), np.array([[0.0, 2.0, 1.0]])
    assert ask_about(Promises(TeacherOutput(choice, logits=choices)), [seen(0)], spaces.Discrete(3)).distribution.tolist() == [
        [0, 2, 1]
    ]
    # What belongs to the other kind of space does not count
    with pytest.raises(
        TeacherError, match=r"gives_distribution=True and gave actions only: return .*\(actions, logits=\.\.\.\)"
    ):
        ask_about(Promises(TeacherOutput(choice, std=choices)), [seen(0)], spaces.Discrete(3))
    with pytest.raises(TeacherError, match=r"return TeacherOutput\(actions, std=\.\.\.\), or leave gives_distribution out\."):
        ask_about(Promises(TeacherOutput(np.zeros((1, 2, 1)), logits=choices)), [seen(0)], BOX)


def test_controllers_actions_that_do_not_fit_are_not_put_down_to_the_teacher() -> None:
    with pytest.raises(TeacherError, match=r"^The controller in the environment's actions have shape \(1, 3, 1\)"):
        take_actions([done(1, 2, 3)], BOX)


class Records(Teacher):
    """Remembers its space."""

    space: spaces.Space | None = None

    def setup(self, action_space: spaces.Space) -> None:
        self.space = action_space

    def predict(self, observations: Any, instructions: Sequence[str] | None = None) -> np.ndarray:
        return observations


@pytest.mark.parametrize("space", [spaces.Discrete(3, start=2), spaces.MultiDiscrete([2, 3], start=[0, -1])])
def test_space_that_begins_elsewhere_is_refused_before_the_teacher_hears_of_it(space: spaces.Space) -> None:
    teacher = Records()
    for whom in (teacher, None):
        with pytest.raises(TeacherError, match="as if it began at 0"):
            set_up(whom, space)
    assert teacher.space is None
    set_up(teacher, spaces.MultiDiscrete([2, 3], start=[0, 0]))
    assert teacher.space == spaces.MultiDiscrete([2, 3])
    set_up(None, BOX)


# ---------------------------------------------------------------- before a teacher is asked


def test_questions_are_of_those_that_have_no_action_yet() -> None:
    infos = [done(1, 2), {"observation": {"x": np.ones(3)}, "instruction": "lift"}, done(3, 4)]
    questions = check_offer(infos, BOX)
    assert questions is not None
    assert questions.observations["x"].tolist() == [[1, 1, 1]]
    assert questions.instructions == ["lift"]
    assert check_offer([done(1, 2)], BOX) is None
    assert check_offer([], BOX) is None


@pytest.mark.parametrize(
    ("infos", "message"),
    [
        ([done(1), seen(1)], r"The controller in the environment's actions have shape \(1, 1, 1\)"),
        (
            [done(1, 2), seen(1), {"observation": {"x": np.ones(1)}}],
            "offer different things to the teacher: a single array and x",
        ),
        (
            [{"observation": {"x": np.ones(1), "y" * 100: {"a": 1}}}],
            r"offer 'yyy.* as .*\{'a': 1\}.*, which is no array of numbers",
        ),
        ([{"observation": np.array([None])}], "offer 'observation' as None, which is no array of numbers"),
    ],
)
def test_offer_that_is_wrong(infos: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(TeacherError, match=message) as caught:
        check_offer(infos, BOX)
    assert len(str(caught.value)) < 500


# ---------------------------------------------------------------- why there is none


def test_failure_in_words() -> None:
    named = [{"observation": {"x": np.ones((2, 3), np.float32)}, "instruction": "lift"}]
    assert explain_failure(TeacherError("It is late."), named) == "It is late"
    # What somebody raises on purpose needs no explanation, nor does a misunderstanding of what nobody was given
    for error, infos in (
        (ConnectionError("gone"), named),
        (KeyError("y"), [done(1, 2)]),
        (KeyError("y"), [*named, done(1, 2)]),
    ):
        assert explain_failure(error, infos) == f"it raised {error!r}"
    assert explain_failure(KeyError("y"), named) == (
        "it raised KeyError('y'). It was given 'x' (float32 of shape (2, 3)), and the instruction 'lift': take each array by "
        "its name, observations['x']"
    )


def test_subclass_of_an_everyday_error_is_one_that_somebody_raises_on_purpose() -> None:
    class NoGrasp(ValueError):
        """Of the user's own."""

    assert explain_failure(NoGrasp("none"), [seen(1)]) == "it raised NoGrasp('none')"

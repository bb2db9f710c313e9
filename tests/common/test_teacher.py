"""What a teacher answers, and the one way of asking it."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch as th
from gymnasium import spaces

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.questions import Questions
from sb3_rpd.common.teacher import Teacher, TeacherOutput, ask_teacher

BOX = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 2.0], np.float32))


def sized(*lengths: int) -> list[Questions]:
    return [Questions(np.zeros((length, 3))) for length in lengths]


def test_actions_alone_become_an_output() -> None:
    actions = np.zeros((2, 3))
    assert TeacherOutput.of(actions).actions is actions
    output = TeacherOutput(actions, std=actions)
    assert TeacherOutput.of(output) is output


@pytest.mark.parametrize("dtype", [th.float32, th.float64, th.bfloat16, th.int64])
def test_tensors_become_arrays(dtype: th.dtype) -> None:
    tensor = th.tensor([[1, 2]], dtype=dtype)
    parameter = th.nn.Parameter(th.tensor([[0.5, 0.25]]))  # tracks gradients wherever it is used
    output = TeacherOutput.of(TeacherOutput(tensor, std=parameter))
    assert isinstance(output.actions, np.ndarray)
    assert output.actions.tolist() == [[1, 2]]
    assert output.std.tolist() == [[0.5, 0.25]]
    assert TeacherOutput.of(tensor).actions.tolist() == [[1, 2]]


def test_merged_answers_keep_their_order_and_what_is_missing_is_nan() -> None:
    answers = [TeacherOutput(np.array([[1.0, 2.0]])), None, TeacherOutput(np.array([[3.0, 4.0], [5.0, 6.0]]))]
    merged = TeacherOutput.merge(answers, sized(1, 2, 2))
    np.testing.assert_array_equal(merged.actions, [[1, 2], [np.nan] * 2, [np.nan] * 2, [3, 4], [5, 6]])
    assert merged.std is None
    assert merged.logits is None


def test_merged_integers_stay_integers_where_none_is_missing() -> None:
    merged = TeacherOutput.merge([TeacherOutput(np.array([4])), TeacherOutput(np.array([0, 2]))], sized(1, 2))
    assert merged.actions.dtype == int
    assert merged.actions.tolist() == [4, 0, 2]


def test_distributions_are_merged_where_all_answers_have_one() -> None:
    action = np.ones((1, 2))
    gaussian = TeacherOutput(action, std=action / 2)
    merged = TeacherOutput.merge([None, gaussian], sized(1, 1))
    np.testing.assert_array_equal(merged.std, [[np.nan, np.nan], [0.5, 0.5]])
    assert TeacherOutput.merge([TeacherOutput(action), gaussian], sized(1, 1)).std is None
    logits = TeacherOutput.merge([TeacherOutput(np.array([1]), logits=np.array([[0.0, 2.0, 1.0]]))], sized(1)).logits
    assert logits.tolist() == [[0, 2, 1]]


def test_answers_that_do_not_fit_the_questions_or_each_other_are_refused() -> None:
    with pytest.raises(TeacherError, match=r"actions have shape \(1, 2\), but it was given 2 observations"):
        TeacherOutput.merge([TeacherOutput(np.zeros((1, 2)))], sized(2))
    with pytest.raises(TeacherError, match=r"different shapes: \(2,\), \(3,\)"):
        TeacherOutput.merge([TeacherOutput(np.zeros((1, 2))), TeacherOutput(np.zeros((1, 3)))], sized(1, 1))


class Told(Teacher):
    """The state, plus the length of its instruction, through a network that tracks gradients."""

    def __init__(self) -> None:
        self.layer = th.nn.Linear(2, 2, bias=False)
        th.nn.init.eye_(self.layer.weight)

    def predict(self, observations: np.ndarray, instructions: Sequence[str] | None = None) -> np.ndarray:
        lengths = np.array([[len(text)] for text in instructions or [""] * len(observations)])
        return self.layer(th.from_numpy(observations + lengths).float()).numpy()


def test_a_network_is_asked_without_gradients() -> None:
    states = np.array([[0.5, 1.0], [2.0, 3.0]])
    assert ask_teacher(Told(), Questions(states, ["a", "bb"])).actions.tolist() == [[1.5, 2.0], [4.0, 5.0]]
    assert ask_teacher(Told(), Questions(states)).actions.tolist() == states.tolist()
    assert th.is_grad_enabled()


def test_clipping_counts_what_it_changes() -> None:
    output = TeacherOutput(np.array([[-2.0, 3.0], [1.0, 0.0], [np.nan, -1.0]])).clip(BOX)
    np.testing.assert_array_equal(output.actions, [[-1, 2], [1, 0], [np.nan, 0]])
    assert output.clipped.tolist() == [2, 0, 1]
    assert output.std is None
    # counts add up, and are merged with their rows
    again = output.clip(spaces.Box(-0.5, 0.5, (2,)))
    assert again.clipped.tolist() == [4, 1, 1]
    assert TeacherOutput.merge([output, again], sized(3, 3)).clipped.tolist() == [2, 0, 1, 4, 1, 1]

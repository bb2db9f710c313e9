"""The model card: what it says where not everything is known."""

import pytest

from sb3_rpd.evaluation import TeacherEvaluation
from sb3_rpd.hub.card import StudentCard, results_table


def test_unknown_successes_stay_unknown() -> None:
    table = results_table({"student": TeacherEvaluation(10, None, -150.0, 200.0)})
    assert table.splitlines()[-1] == "| student | unknown | unknown | -150.00 | 200.0 | 10 |"
    card = str(StudentCard("me/toy", "Toy-v0", "RPD", {"student": TeacherEvaluation(10, None, -150.0, 200.0)}))
    assert "success_rate" not in card
    assert "- Teacher: not said" in card.splitlines()
    assert "replay.gif" not in card
    assert "student.onnx" not in card
    assert "vecnormalize.pkl" not in card


def test_a_card_needs_the_student_s_own_result() -> None:
    with pytest.raises(ValueError, match="The results have no 'student', only 'teacher'"):
        StudentCard("me/toy", "Toy-v0", "RPD", {"teacher": TeacherEvaluation(10, 5, 0.0, 1.0)})


def test_its_program_is_python() -> None:
    card = str(StudentCard("me/toy", "Toy-v0", "RPD", {"student": TeacherEvaluation(10, 5, 0.0, 1.0)}))
    program = card.split("```python\n")[1].split("```")[0]
    compile(program, "card", "exec")
    assert 'load_from_hub("me/toy", trust_pickle=True)' in program

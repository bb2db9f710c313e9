"""How good teachers and students are."""

from sb3_rpd.evaluation.intervals import wilson_interval
from sb3_rpd.evaluation.teacher_check import TeacherCheck, check_teacher
from sb3_rpd.evaluation.teacher_evaluation import TeacherEvaluation, evaluate_teacher

__all__ = ["TeacherCheck", "TeacherEvaluation", "check_teacher", "evaluate_teacher", "wilson_interval"]

"""How good teachers and students are."""

from sb3_rpd.evaluation.intervals import wilson_interval
from sb3_rpd.evaluation.keep_best import KeepBest
from sb3_rpd.evaluation.teacher_evaluation import TeacherEvaluation, evaluate_teacher

__all__ = ["KeepBest", "TeacherEvaluation", "evaluate_teacher", "wilson_interval"]

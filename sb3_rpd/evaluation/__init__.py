"""How good teachers and students are."""

from sb3_rpd.evaluation.aggregates import (
    Estimate,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    stratified_bootstrap,
)
from sb3_rpd.evaluation.film import film_episode, write_gif, write_strip
from sb3_rpd.evaluation.intervals import wilson_interval
from sb3_rpd.evaluation.keep_best import KeepBest
from sb3_rpd.evaluation.student import Student
from sb3_rpd.evaluation.teacher_check import TeacherCheck, check_teacher
from sb3_rpd.evaluation.teacher_evaluation import Episode, TeacherEvaluation, evaluate_teacher

__all__ = [
    "Episode",
    "Estimate",
    "KeepBest",
    "Student",
    "TeacherCheck",
    "TeacherEvaluation",
    "check_teacher",
    "evaluate_teacher",
    "film_episode",
    "interquartile_mean",
    "performance_profile",
    "probability_of_improvement",
    "stratified_bootstrap",
    "wilson_interval",
    "write_gif",
    "write_strip",
]

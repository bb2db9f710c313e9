"""Refined Policy Distillation (RPD) as a Stable-Baselines3 plug-in."""

import pathlib

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.evaluation import check_teacher
from sb3_rpd.rpd import RPD

__version__ = pathlib.Path(__file__).with_name("version.txt").read_text(encoding="utf-8").strip()

__all__ = ["RPD", "TeacherActionWrapper", "TeacherError", "__version__", "check_teacher"]

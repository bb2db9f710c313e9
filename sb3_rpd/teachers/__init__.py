"""Teachers: whatever RPD can ask what to do."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sb3_rpd.common.teacher import Teacher, TeacherOutput
from sb3_rpd.teachers.degraded import DegradedTeacher
from sb3_rpd.teachers.faults import Inversion, Misperception, Stall, TeacherFault, misjudged_cube, stall_near_cube
from sb3_rpd.teachers.function import FunctionTeacher
from sb3_rpd.teachers.maniskill2 import SCRIPTED_TASKS, ScriptedTeacher
from sb3_rpd.teachers.metaworld import MetaWorldTeacher
from sb3_rpd.teachers.openvla import OpenVLATeacher
from sb3_rpd.teachers.process import ProcessTeacher
from sb3_rpd.teachers.ray import RayTeacher
from sb3_rpd.teachers.remote.gr00t import GR00TTeacher
from sb3_rpd.teachers.remote.openpi import OpenPITeacher
from sb3_rpd.teachers.remote.openvla_rest import OpenVLAServerTeacher
from sb3_rpd.teachers.remote.server import TeacherServer
from sb3_rpd.teachers.remote.vlagents import VLAgentsTeacher
from sb3_rpd.teachers.resolve import make_teacher
from sb3_rpd.teachers.sb3 import SB3Teacher
from sb3_rpd.teachers.units import ActionConversion, inverted_gripper, signed_gripper

if TYPE_CHECKING:
    from sb3_rpd.evaluation import TeacherEvaluation, evaluate_teacher

__all__ = [
    "SCRIPTED_TASKS",
    "ActionConversion",
    "DegradedTeacher",
    "FunctionTeacher",
    "GR00TTeacher",
    "Inversion",
    "MetaWorldTeacher",
    "Misperception",
    "OpenPITeacher",
    "OpenVLAServerTeacher",
    "OpenVLATeacher",
    "ProcessTeacher",
    "RayTeacher",
    "SB3Teacher",
    "ScriptedTeacher",
    "Stall",
    "Teacher",
    "TeacherEvaluation",
    "TeacherFault",
    "TeacherOutput",
    "TeacherServer",
    "VLAgentsTeacher",
    "evaluate_teacher",
    "inverted_gripper",
    "make_teacher",
    "misjudged_cube",
    "signed_gripper",
    "stall_near_cube",
]


def __getattr__(name: str) -> Any:
    # They live in sb3_rpd.evaluation, which is above this package, and are still found here
    if name in ("TeacherEvaluation", "evaluate_teacher"):
        return getattr(import_module("sb3_rpd.evaluation"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

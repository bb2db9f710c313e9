"""Teachers: whatever RPD can ask what to do."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sb3_rpd.teachers.base import Teacher, TeacherOutput
from sb3_rpd.teachers.degraded import DegradedTeacher
from sb3_rpd.teachers.function import FunctionTeacher
from sb3_rpd.teachers.resolve import make_teacher
from sb3_rpd.teachers.sb3 import SB3Teacher

if TYPE_CHECKING:
    from sb3_rpd.teachers.evaluation import TeacherEvaluation, evaluate_teacher
    from sb3_rpd.teachers.gr00t import GR00TTeacher
    from sb3_rpd.teachers.maniskill2 import SCRIPTED_TASKS, ScriptedTeacher
    from sb3_rpd.teachers.openpi import OpenPITeacher
    from sb3_rpd.teachers.openvla import OpenVLATeacher
    from sb3_rpd.teachers.openvla_rest import OpenVLAServerTeacher
    from sb3_rpd.teachers.process import ProcessTeacher
    from sb3_rpd.teachers.remote.teacher import signed_gripper
    from sb3_rpd.teachers.server import TeacherServer
    from sb3_rpd.teachers.vlagents import VLAgentsTeacher

# imported on first use: they need rooms of the package that themselves need this one, or a network
_LATER = {
    "GR00TTeacher": "gr00t",
    "OpenPITeacher": "openpi",
    "OpenVLAServerTeacher": "openvla_rest",
    "OpenVLATeacher": "openvla",
    "ProcessTeacher": "process",
    "SCRIPTED_TASKS": "maniskill2",
    "ScriptedTeacher": "maniskill2",
    "TeacherEvaluation": "evaluation",
    "TeacherServer": "server",
    "VLAgentsTeacher": "vlagents",
    "evaluate_teacher": "evaluation",
    "signed_gripper": "remote.teacher",
}

__all__ = [
    "SCRIPTED_TASKS",
    "DegradedTeacher",
    "FunctionTeacher",
    "GR00TTeacher",
    "OpenPITeacher",
    "OpenVLAServerTeacher",
    "OpenVLATeacher",
    "ProcessTeacher",
    "SB3Teacher",
    "ScriptedTeacher",
    "Teacher",
    "TeacherEvaluation",
    "TeacherOutput",
    "TeacherServer",
    "VLAgentsTeacher",
    "evaluate_teacher",
    "make_teacher",
    "signed_gripper",
]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)

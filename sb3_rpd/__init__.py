"""Refined Policy Distillation (RPD) as a Stable-Baselines3 plug-in."""

import pathlib
from importlib import import_module
from typing import TYPE_CHECKING, Any

from sb3_rpd.common.errors import TeacherError
from sb3_rpd.common.presets import recommended
from sb3_rpd.common.wrappers import TeacherActionWrapper
from sb3_rpd.evaluation import check_teacher
from sb3_rpd.rpd import RPD

if TYPE_CHECKING:
    from sb3_rpd.maskable_rpd import MaskableRPD as MaskableRPD
    from sb3_rpd.recurrent_rpd import RecurrentRPD as RecurrentRPD

__version__ = pathlib.Path(__file__).with_name("version.txt").read_text(encoding="utf-8").strip()

__all__ = ["RPD", "TeacherActionWrapper", "TeacherError", "__version__", "check_teacher", "recommended"]

#: What is imported when it is asked for, and where it is: it needs sb3-contrib.
_ON_REQUEST = {"MaskableRPD": "sb3_rpd.maskable_rpd", "RecurrentRPD": "sb3_rpd.recurrent_rpd"}


def __getattr__(name: str) -> Any:
    if name in _ON_REQUEST:
        return getattr(import_module(_ON_REQUEST[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Demonstrations: what a teacher or a student does, recorded, and read again by who learns from it."""

from sb3_rpd.demonstrations.cubes import MoreNearCube
from sb3_rpd.demonstrations.errors import DemonstrationsError
from sb3_rpd.demonstrations.noise import ActionNoise
from sb3_rpd.demonstrations.reader import Demonstrations, Frame, read_demonstrations
from sb3_rpd.demonstrations.recorder import FORMATS, Recording, record

__all__ = [
    "FORMATS",
    "ActionNoise",
    "Demonstrations",
    "DemonstrationsError",
    "Frame",
    "MoreNearCube",
    "Recording",
    "read_demonstrations",
    "record",
]

"""Demonstrations: what a teacher or a student does, recorded, and read again by who learns from it."""

from sb3_rpd.demonstrations.errors import DemonstrationsError
from sb3_rpd.demonstrations.noise import ActionNoise
from sb3_rpd.demonstrations.reader import Demonstrations, Frame, read_demonstrations
from sb3_rpd.demonstrations.recorder import FORMATS, Recording, record
from sb3_rpd.demonstrations.statistics import action_statistics

__all__ = [
    "FORMATS",
    "ActionNoise",
    "Demonstrations",
    "DemonstrationsError",
    "Frame",
    "Recording",
    "action_statistics",
    "read_demonstrations",
    "record",
]

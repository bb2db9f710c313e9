"""Demonstrations: what a teacher or a student does, recorded, and read again by who learns from it."""

from sb3_rpd.demonstrations.lerobot.layout import DemonstrationsError
from sb3_rpd.demonstrations.reader import Demonstrations, Frame, read_demonstrations

__all__ = ["Demonstrations", "DemonstrationsError", "Frame", "read_demonstrations"]

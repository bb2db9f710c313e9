"""OpenVLA as a teacher: an implementation of its own that reads the published checkpoints."""

from sb3_rpd.teachers.openvla.small import make_small_openvla
from sb3_rpd.teachers.openvla.teacher import OpenVLATeacher
from sb3_rpd.teachers.openvla.tiny import make_tiny_openvla

__all__ = ["OpenVLATeacher", "make_small_openvla", "make_tiny_openvla"]

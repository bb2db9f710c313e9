"""Teachers in the actors of a Ray cluster."""

from sb3_rpd.teachers.ray.teacher import RayTeacher

__all__ = ["RayTeacher"]

"""Teachers in processes of their own."""

from sb3_rpd.teachers.process.teacher import ProcessTeacher

__all__ = ["ProcessTeacher"]

"""Errors that this package raises on purpose."""


class TeacherError(RuntimeError):
    """A teacher cannot be used as it is: wrong shape, wrong space, missing input, too many failures."""

"""Errors that this package raises on purpose."""


class TeacherError(RuntimeError):
    """A teacher cannot be used as it is: wrong shape, wrong space, missing input, too many failures."""


class ExportError(RuntimeError):
    """A student cannot be exported, or the file would not act as the student does."""


#: What a function raises that was written for other arguments. Errors that somebody raises on purpose mostly have classes of
#: their own.
ERRORS_OF_OTHER_ARGUMENTS = (TypeError, AttributeError, KeyError, IndexError, ValueError, RuntimeError)

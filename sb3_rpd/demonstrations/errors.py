"""The error that this part of the package raises on purpose."""


class DemonstrationsError(ValueError):
    """A folder cannot be read as demonstrations, or what is to be added to it does not fit."""

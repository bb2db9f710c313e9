"""Arguments that are one of a few words."""

from collections.abc import Collection


def check_choice(name: str, value: str | None, choices: Collection[str | None]) -> None:
    """
    :param name: The name of an argument.
    :param value: What it was given.
    :param choices: What it may be.
    :raises ValueError: if it is something else; lists the choices.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")

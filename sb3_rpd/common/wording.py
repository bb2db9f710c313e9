"""How messages put things into words."""

from collections.abc import Iterable


def shortened(items: Iterable[object], limit: int = 3) -> str:
    """
    List items in a message, however many there are.

    :param items: What to list; each appears as its ``repr``.
    :param limit: How many of them at most. The others are counted.
    :return: For example ``'a', 'b', 'c' and 979 more``; ``none`` for no items.
    """
    words = [repr(item) for item in items]
    shown, more = ", ".join(words[:limit]), len(words) - limit
    if more > 0:
        return f"{shown} and {more} more"
    return shown or "none"

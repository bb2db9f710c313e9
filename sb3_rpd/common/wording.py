"""Words for messages: what a user passed in, named as he knows it and never longer than a sentence bears."""

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any


def cut(text: object, length: int = 200) -> str:
    """
    Put a text on one line, without its middle if it is long: of a space or an array the ends say most.

    :param text: A text, or anything of which to take ``str``.
    :param length: How many of its characters are left at most.
    :return: The text; where something is left out, how much.
    """
    line = " ".join(str(text).split())
    if len(line) <= length:
        return line
    tail = max(length // 3, 1)
    return f"{line[: length - tail]} ... ({len(line) - length} characters more) ... {line[-tail:]}"


def ending(text: str, length: int = 800) -> str:
    """
    Keep the end of a traceback, where its cause is.

    :param text: A text of several lines.
    :param length: How many of its characters are left at most.
    :return: The text; where something is left out, how much.
    """
    text = text.strip()
    return text if len(text) <= length else f"({len(text) - length} characters before) ... {text[-length:]}"


def shortened(items: Iterable[object], limit: int = 3) -> str:
    """
    List items in a message, however many there are.

    :param items: What to list; each appears as its ``repr``, cut if that is long.
    :param limit: How many of them at most. The others are counted.
    :return: For example ``'a', 'b', 'c' and 979 more``; ``none`` for no items.
    """
    words = [cut(repr(item), 60) for item in items]
    shown, more = ", ".join(words[:limit]), len(words) - limit
    if more > 0:
        return f"{shown} and {more} more"
    return shown or "none"


def function_name(function: Callable[..., Any]) -> str:
    """
    How its author knows a function.

    :param function: A function, a method, a partial or any other object that can be called.
    :return: Its qualified name and where it is: ``Expert.act at experts.py:12``.
    """
    while isinstance(function, partial):
        function = function.func
    named = inspect.unwrap(function)
    # numpy's functions have only the one or the other name, and no module, in some releases
    name = getattr(named, "__qualname__", None) or getattr(named, "__name__", None)
    if name is None:
        return cut(f"a {type(named).__module__}.{type(named).__qualname__}")
    code = getattr(named, "__code__", None)
    if code is not None:
        return cut(f"{name} at {Path(code.co_filename).name}:{code.co_firstlineno}")
    return cut(f"{getattr(named, '__module__', None) or type(named).__module__}.{name}")

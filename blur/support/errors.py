"""Error messages: one line that says what was given, what was expected and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from typing import Any, SupportsIndex


def short(value: Any, limit: int = 60) -> str:
    """`repr(value)`, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """The text with control characters, which could steer a terminal, as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks, or its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def check_sizes(**sizes: int | None) -> None:
    """Raises ValueError, naming the size, unless every size is a whole number of at least 1, or None."""
    for name, size in sizes.items():
        if size is not None and (isinstance(size, bool) or not isinstance(size, SupportsIndex)):
            raise ValueError(f"{name} is {short(size)}; expected a whole number of at least 1")
        if size is not None and size < 1:
            raise ValueError(f"{name} is {size}; expected at least 1")


def check_width(name: str, given: int, expected: int) -> None:
    """Raises ValueError with both widths unless they are equal."""
    if given != expected:
        raise ValueError(
            f"the {name} have {given} numbers, but the network is for {expected}; expected {name} [batch, {expected}]"
        )


def check_choice(field: str, value: object, choices: Collection[str]) -> None:
    """Raises ValueError, with the nearest name, unless `value` is one of the choices."""
    if value in choices:
        return
    close = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"{field} is {value!r}; {hint}expected one of {', '.join(choices)}")

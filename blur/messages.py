"""Pieces of error messages, which are one line each."""

from __future__ import annotations

from typing import Any


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

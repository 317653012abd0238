"""Pieces of error messages, which are one line each."""

from __future__ import annotations

from typing import Any


def short(value: Any, limit: int = 60) -> str:
    """`repr(value)`, cut to `limit` characters."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks, or its class where it has none."""
    return " ".join(str(error).split()) or type(error).__name__

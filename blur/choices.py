"""What a user has to choose from a few names."""

from __future__ import annotations

import difflib
from collections.abc import Collection


def check_choice(field: str, value: object, choices: Collection[str]) -> None:
    """Raises ValueError, with the nearest name, unless `value` is one of the choices."""
    if value in choices:
        return
    close = difflib.get_close_matches(str(value), choices, n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"{field} is {value!r}; {hint}expected one of {', '.join(choices)}")

"""The words of a command line: options that have a new name, and options that were typed."""

from __future__ import annotations

import sys
from collections.abc import Sequence

RENAMED_OPTIONS = {"--unroll": "--steps"}
"""Old names of options, which keep working, and their new names."""


def translate(words: Sequence[str]) -> list[str]:
    """The words with new names of options; for each old name, one line on stderr says the new one.

    Raises:
      ValueError: an option was typed under both names.
    """
    typed = typed_options(words)
    for old in RENAMED_OPTIONS.keys() & typed:
        new = RENAMED_OPTIONS[old]
        if new in typed:
            raise ValueError(f"{old} and {new} are two names of one option; give {new} alone")
        print(f"blur: {old} is now called {new}", file=sys.stderr)
    return [_renamed(word) for word in words]


def typed_options(words: Sequence[str]) -> set[str]:
    """The names of the typed options: `--batch-size` for the word `--batch_size=16`."""
    return {word.split("=")[0].replace("_", "-") for word in words if word.startswith("--")}


def _renamed(word: str) -> str:
    name, equals, value = word.partition("=")
    return RENAMED_OPTIONS.get(name, name) + equals + value

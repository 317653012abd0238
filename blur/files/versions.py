"""Versions of the form of genome and model files, and how files of older versions become files of this one.

1: blur 0.1.
2: blur 0.2. The header of a model says how many inner `steps` its training had. The settings in a genome's card call
   the length of a life `steps`; version 1 called it `unroll`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from blur import __version__
from blur.support.errors import short

FORMAT_VERSION = 2
"""Of the header and the names of tensors. It rises when either of them changes, together with an entry in `MIGRATIONS`
and a file in `tests/files/fixtures`."""

Header: TypeAlias = dict[str, Any]
Tensors: TypeAlias = dict[str, np.ndarray]


def version_problem(header: Header) -> str | None:
    """Why a file with this header cannot be read, if it cannot: its version is unknown here."""
    version = header.get("format_version")
    if type(version) is int and 1 <= version <= FORMAT_VERSION:
        return None
    if type(version) is not int or version < 1:
        return f"has the format version {short(version)}; expected a whole number from 1 to {FORMAT_VERSION}"
    versions = header.get("versions")
    writer = versions.get("blur") if isinstance(versions, dict) else None
    needed = f"blur-rules {short(writer)[1:-1]}, which wrote it, or newer" if isinstance(writer, str) else "a newer one"
    return (
        f"has format version {version}, but this blur-rules {__version__} reads 1 to {FORMAT_VERSION}; update "
        f"blur-rules: it needs {needed}"
    )


def migrate(header: Header, tensors: Tensors) -> tuple[Header, Tensors]:
    """The content of a file as this version would have written it."""
    for version in range(header["format_version"], FORMAT_VERSION):
        header, tensors = MIGRATIONS[version](header, tensors)
    return {**header, "format_version": FORMAT_VERSION}, tensors


def _from_version_1(header: Header, tensors: Tensors) -> tuple[Header, Tensors]:
    """Renames the settings' `unroll`. How many steps a model's training had is not known: `steps` is absent."""
    data = header.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("settings"), list):
        return header, tensors
    settings = [_renamed(setting, unroll="steps") for setting in data["settings"]]
    return {**header, "data": {**data, "settings": settings}}, tensors


def _renamed(entry: Any, **new_names: str) -> Any:
    """An object's entries under their new names; anything else as it is."""
    return {new_names.get(name, name): item for name, item in entry.items()} if isinstance(entry, dict) else entry


MIGRATIONS: dict[int, Callable[[Header, Tensors], tuple[Header, Tensors]]] = {1: _from_version_1}
"""For each older version, the function that makes the next version of a file's header and tensors."""

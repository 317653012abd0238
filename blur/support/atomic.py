"""Atomic writing: a file appears whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path


def write_file(path: str | Path, content: bytes | str) -> Path:
    """Writes under a temporary name in the same folder, then renames; text is UTF-8. Makes missing folders.

    Raises:
      IsADirectoryError: `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, expected the name of a file to write")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path

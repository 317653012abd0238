"""A user's own data: one `.npz` file."""

from __future__ import annotations

import dataclasses
import zipfile
from pathlib import Path

import numpy as np

from blur.data.arrays import Dataset, from_arrays
from blur.support.errors import one_line, short

INPUT_NAMES = ("inputs", "images", "x")
TARGET_NAMES = ("targets", "labels", "y")

MOST_BYTES = 4 * 2**30
"""What the arrays of one file may take in memory: a small compressed file can expand to any size."""


def read_npz(path: Path) -> Dataset:
    """Reads arrays `inputs` (or `images`, `x`) and `targets` (or `labels`, `y`); see `from_arrays` for their meaning.

    Test examples may be given as the same names after `test_`. Pickled objects are refused.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no `.npz` file, an array is missing or ambiguous, or the arrays do not fit together.
    """
    arrays = read_arrays(path)
    inputs, targets = pick(path, arrays, INPUT_NAMES), pick(path, arrays, TARGET_NAMES)
    if inputs is None or targets is None:
        raise ValueError(
            f"{path} holds the arrays {sorted(arrays)}; expected one of {', '.join(INPUT_NAMES)} and one of "
            f"{', '.join(TARGET_NAMES)}"
        )
    dataset = from_arrays(
        inputs,
        targets,
        test_inputs=pick(path, arrays, tuple(f"test_{name}" for name in INPUT_NAMES)),
        test_targets=pick(path, arrays, tuple(f"test_{name}" for name in TARGET_NAMES)),
        name=str(path),
    )
    return dataclasses.replace(dataset, name=path.stem)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file, without unpickling anything.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no readable `.npz` file, holds pickled objects, or would expand to more than `MOST_BYTES`.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file; expected an .npz file with inputs and targets")
    try:
        _check_size(path)
        with path.open("rb") as stream:  # which NumPy would leave open, where the archive is damaged
            archive = np.load(stream, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds a single array")
            with archive:
                arrays = dict(archive)
    except Exception as error:  # zipfile, its decompressors and NumPy meet hostile bytes here
        raise ValueError(f"{path} is not a readable .npz file of plain arrays: {one_line(error)}") from error
    if other := [name for name, array in arrays.items() if not isinstance(array, np.ndarray)]:
        raise ValueError(f"{path} is not a readable .npz file of plain arrays: {short(other[0])} is none")
    return arrays


def _check_size(path: Path) -> None:
    """Raises ValueError if an archive would expand to more than `MOST_BYTES`; what it declares is all that is read."""
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > MOST_BYTES:
        raise ValueError(f"it expands to {size} bytes; expected at most {MOST_BYTES}")


def pick(path: Path, arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    """The one array that has one of these names; None if there is none.

    Raises:
      ValueError: there are several.
    """
    found = [name for name in names if name in arrays]
    if len(found) > 1:
        raise ValueError(f"{path} holds both {' and '.join(found)}; expected only one of {', '.join(names)}")
    return arrays[found[0]] if found else None

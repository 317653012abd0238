"""Arrays of the user's `.npz` files, as the commands want them."""

from __future__ import annotations

from pathlib import Path

from numpy.typing import NDArray

from blur.data.npz_source import INPUT_NAMES, TARGET_NAMES, pick, read_arrays


def read_examples(path: Path) -> tuple[NDArray, NDArray | None]:
    """Inputs, and labels where the file has them.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is no `.npz` file, has no inputs, or has an array under two names.
    """
    arrays = read_arrays(path)
    inputs, labels = (pick(path, arrays, names) for names in (INPUT_NAMES, TARGET_NAMES))
    if inputs is None:
        raise ValueError(f"{path} has the arrays {sorted(arrays)}, expected one called {' or '.join(INPUT_NAMES)}")
    return inputs, labels


def read_labelled_examples(path: Path) -> tuple[NDArray, NDArray]:
    """Inputs and labels; raises ValueError if the file has no labels."""
    inputs, labels = read_examples(path)
    if labels is None:
        raise ValueError(f"{path} has no labels, expected an array called {' or '.join(TARGET_NAMES)}")
    return inputs, labels

"""Data sets by name or from a file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from blur.data.arrays import Dataset, from_arrays
from blur.data.npz_source import read_npz
from blur.data.tfds_source import read_tfds


def load_dataset(name_or_path: str | os.PathLike[str], data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Reads a data set.

    Args:
      name_or_path: `digits` (scikit-learn's, 8×8, always there), a file that ends in `.npz` (see `read_npz`), or the
        name of an image-classification set of tensorflow-datasets such as `mnist`, `fashion_mnist` or `cifar10`.
      data_dir: where sets of tensorflow-datasets are looked for: prepared ones, or raw files as published in a folder
        named after the set. Default: the environment variable BLUR_DATA_DIR.

    Raises:
      FileNotFoundError: the data are not there and cannot be fetched.
      ValueError: the data are not what the name says, or the file does not hold what it should.
    """
    name = os.fspath(name_or_path)
    if name == "digits":
        return _digits()
    if name.endswith(".npz"):
        return read_npz(Path(name))
    folder = data_dir or os.environ.get("BLUR_DATA_DIR")
    return read_tfds(name, Path(folder).expanduser() if folder else None)


def _digits() -> Dataset:
    """scikit-learn's 1,797 handwritten digits (8×8, values 0 … 16)."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return from_arrays(bunch.images.astype(np.uint8), bunch.target, name="digits")

"""Image-classification sets by their tensorflow-datasets name, without TensorFlow.

The first of these that has the set wins: the array file in the cache folder; a set prepared by tensorflow-datasets
(in the array_record format) in the data folder or in its own default folder; raw files as published, in a subfolder of
the data folder named after the set; a download. Every set that is read is cached as one array file.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import tempfile
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from blur.data.array_cache import cache_folder, check_published, read_cached, write_cached
from blur.data.arrays import Dataset, from_arrays
from blur.data.tfds_prepare import needs_tensorflow, prepare
from blur.support.errors import one_line

_CHUNK = 10_000  # records decoded at once: bounds the memory that Python objects take


class UnknownDatasetError(ValueError):
    """There is no data set of this name. `close` holds names like it."""

    def __init__(self, name: str, names: list[str]):
        self.close = get_close_matches(name, names)
        hint = f"; did you mean {' or '.join(self.close)}?" if self.close else ""
        super().__init__(f"tensorflow-datasets has no data set {name!r}{hint}")


def read_tfds(name: str, data_dir: Path | None) -> Dataset:
    """Reads the set `name`, and keeps it in the cache folder for the next time (delete it there to read it anew).

    Raises:
      FileNotFoundError: the set is nowhere, and there is no network.
      ValueError: there is no such set, it is no image classification, or its content is not what its name says.
    """
    if (cached := read_cached(name)) is not None:
        return cached
    if data_dir is not None and not data_dir.is_dir():
        raise FileNotFoundError(f"the data folder {data_dir} does not exist; expected a folder that holds {name}/")
    with _without_warnings():
        dataset = _from_tfds(_tensorflow_datasets(), name, data_dir)
    check_published(dataset)
    write_cached(dataset)
    return dataset


def _from_tfds(tfds: ModuleType, name: str, data_dir: Path | None) -> Dataset:
    """Reads a prepared set, or prepares it first in a temporary folder."""
    for folder in (data_dir, None):
        builder = _builder(tfds, name, folder)
        if builder.is_prepared():
            return read_builder(tfds, builder, name)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_folder()) as scratch:
        return read_builder(tfds, prepare(tfds, builder, name, data_dir, scratch), name)


@contextlib.contextmanager
def _without_warnings() -> Iterator[None]:
    """Keeps back tensorflow-datasets' warnings about folders that it looks into and does not find."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _tensorflow_datasets() -> ModuleType:
    """The module, which takes seconds to import; its progress bars show only on a terminal."""
    import tensorflow_datasets as tfds

    if not sys.stderr.isatty():
        tfds.disable_progress_bar()
    return tfds


def _builder(tfds: ModuleType, name: str, folder: Path | None) -> Any:
    """tensorflow-datasets' builder of the set, with `folder` in place of its default data folder."""
    try:
        return tfds.builder(name, data_dir=folder)
    except tfds.core.DatasetNotFoundError:
        raise UnknownDatasetError(name, tfds.list_builders(with_community_datasets=False)) from None
    except ImportError as error:
        raise needs_tensorflow(name, error) from error
    except (ValueError, AssertionError) as error:
        raise ValueError(f"tensorflow-datasets cannot make {name!r}: {one_line(error)[:200]}") from error


def read_builder(tfds: ModuleType, builder: Any, name: str) -> Dataset:
    """All examples of a prepared set; to test on, its split `test`, else `validation`, else a random fifth.

    Raises:
      ValueError: it is no image classification, its images differ in size, or only TensorFlow can read its format.
    """
    features, keys = builder.info.features, builder.info.supervised_keys
    kinds = [type(features[key]) for key in keys[:2]] if keys else []
    if kinds != [tfds.features.Image, tfds.features.ClassLabel]:
        raise ValueError(f"{name} is no image-classification set: expected one image and one class label per example")
    if None in features[keys[0]].shape[:2]:
        raise ValueError(f"{name} has images of different sizes; resize them yourself and store them as .npz")
    held_out = next((split for split in ("test", "validation") if split in builder.info.splits), None)
    inputs, targets = _read_split(builder, "train", keys)
    test_inputs, test_targets = _read_split(builder, held_out, keys) if held_out else (None, None)
    return from_arrays(inputs, targets, test_inputs=test_inputs, test_targets=test_targets, name=name)


def _read_split(builder: Any, split: str, keys: tuple[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one split, in the order in which they are stored."""
    try:
        source = builder.as_data_source(split)
    except NotImplementedError as error:
        raise ValueError(
            f"{builder.name} is prepared in a format that only TensorFlow can read; prepare it anew with "
            f"`tfds build {builder.name} --file_format=array_record`"
        ) from error
    images, labels = [], []
    for start in range(0, len(source), _CHUNK):
        records = source.__getitems__(range(start, min(start + _CHUNK, len(source))))
        images.append(np.stack([record[keys[0]] for record in records]))
        labels.append(np.array([record[keys[1]] for record in records]))
    return np.concatenate(images), np.concatenate(labels)

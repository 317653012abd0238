"""Preparing sets of tensorflow-datasets where TensorFlow is not installed, from raw files or a download."""

from __future__ import annotations

import contextlib
import gzip
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from blur.data.array_cache import cached_file

RAW_SETS = ("mnist", "fashion_mnist", "kmnist")
"""Sets that are published as four idx files: images and labels to train on and to test on."""

NETWORK_TIMEOUT = 5.0  # seconds; tensorflow-datasets itself would go on trying for minutes


def prepare(tfds: ModuleType, builder: Any, name: str, data_dir: Path | None, scratch: str) -> Any:
    """Prepares a set below the folder `scratch`, in the array_record format.

    Args:
      tfds: the module tensorflow-datasets.
      builder: its builder of the set.
      name: what the set was asked for by, with a configuration or version where it has one.
      data_dir: raw files, as published, may lie in its subfolder named after the set.
      scratch: an empty folder.

    Returns:
      The builder of the prepared set.

    Raises:
      FileNotFoundError: raw files are missing and there is no network, or only TensorFlow can prepare this set.
      ValueError: a file is not the published one.
    """
    raw = None if data_dir is None else data_dir / builder.name
    builder_class = without_tensorflow(type(builder)) if builder.name in RAW_SETS else type(builder)
    _check_obtainable(builder, name, raw)
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    config = tfds.download.DownloadConfig(manual_dir=raw, try_download_gcs=False)
    fresh = builder_class(data_dir=scratch, config=builder.builder_config, file_format="array_record")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            fresh.download_and_prepare(download_dir=f"{scratch}/downloads", download_config=config)
    except ImportError as error:
        raise needs_tensorflow(name, error) from error
    except NonMatchingChecksumError as error:
        reason = str(error).splitlines()[0].rstrip(":")
        raise ValueError(f"data set {name!r}: a raw file is not the published one: {reason}") from error
    return fresh


def needs_tensorflow(name: str, error: ImportError) -> FileNotFoundError:
    """The error for a set that cannot be prepared here."""
    return FileNotFoundError(
        f"data set {name!r} is not prepared, and cannot be without {error.name or 'tensorflow'}; run "
        f"`tfds build {name} --file_format=array_record` where that is installed, and pass the data folder (--data-dir)"
    )


def _check_obtainable(builder: Any, name: str, raw: Path | None) -> None:
    """Raises at once where a download would be needed but cannot succeed."""
    urls = builder.url_infos or {}
    files = [info.filename or url.rsplit("/", 1)[-1] for url, info in urls.items()]
    missing = [file for file in files if raw is None or not (raw / file).is_file()]
    if urls and not missing:
        return
    reason = _unreachable(next(iter(urls))) if urls else "its files have to be fetched by hand"
    if reason is None:
        return
    place = raw if raw is not None else f"a folder {builder.name}/ of a data folder (--data-dir)"
    put = f"put the files {', '.join(missing)} in {place}, or " if builder.name in RAW_SETS else ""
    raise FileNotFoundError(
        f"data set {name!r} is neither cached in {cached_file(name)} nor prepared, and cannot be "
        f"downloaded ({reason}); {put}pass a data folder (--data-dir) where tensorflow-datasets has prepared it with "
        f"`tfds build {name} --file_format=array_record`"
    )


def _unreachable(url: str) -> str | None:
    """Why the host of a download does not answer; None if it does."""
    try:
        request = urllib.request.Request(url, method="HEAD")
        urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT).close()
    except urllib.error.HTTPError:
        return None
    except (OSError, ValueError) as error:
        return f"no network: {getattr(error, 'reason', error)}"
    return None


def without_tensorflow(upstream: Any) -> Any:
    """A builder of the same data set, name and version as `upstream`, one of `RAW_SETS`, that needs no TensorFlow."""
    from PIL import Image

    base_url = upstream.URL

    def read(path: Any, header: int) -> np.ndarray:
        with gzip.open(path) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    class Builder(upstream, skip_registration=True):  # type: ignore[call-arg]
        name = upstream.name
        url_infos = upstream.url_infos

        def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
            parts = {"train": "train", "test": "t10k"}
            urls = {
                split: {
                    "images": f"{base_url}{part}-images-idx3-ubyte.gz",
                    "labels": f"{base_url}{part}-labels-idx1-ubyte.gz",
                }
                for split, part in parts.items()
            }
            files = dl_manager.download(urls)
            return {split: self._generate_examples(**files[split]) for split in parts}

        def _generate_examples(self, images: Any, labels: Any) -> Iterator[tuple[int, dict[str, Any]]]:
            pixels = read(images, 16).reshape(-1, 28, 28)
            for index, (image, label) in enumerate(zip(pixels, read(labels, 8), strict=True)):
                yield index, {"image": Image.fromarray(image), "label": int(label)}

    return Builder

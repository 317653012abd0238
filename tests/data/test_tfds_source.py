"""Sets of tensorflow-datasets without TensorFlow and without a network: raw files, prepared folders, the cache."""

from __future__ import annotations

import dataclasses
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from blur.data import array_cache
from blur.data.array_cache import cached_file, check_published, read_cached, write_cached
from blur.data.arrays import Dataset, content_hash, from_arrays
from blur.data.datasets import load_dataset
from blur.data.tfds_source import UnknownDatasetError, read_builder

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (60, 4, 4, 1), dtype=np.uint8)
LABELS = np.arange(60) % 3

PUBLISHED_DIR = os.environ.get("BLUR_DATA_DIR", "")
needs_published = pytest.mark.skipif(
    not PUBLISHED_DIR, reason="set BLUR_DATA_DIR to a folder with mnist/ and fashion_mnist/ as published"
)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, no data folder, no network."""

    def refuse(*args, **kwargs):
        raise urllib.error.URLError("switched off")

    monkeypatch.setenv("BLUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("BLUR_DATA_DIR", raising=False)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)


def prepare(folder: Path, size: int | None = 4) -> None:
    """Prepares a small set as tensorflow-datasets itself does, in the array_record format."""
    import tensorflow_datasets as tfds
    from PIL import Image

    class Tiny(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(size, size, 1)),
                "label": tfds.features.ClassLabel(num_classes=3),
            }
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), supervised_keys=("image", "label")
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(0, 45), "test": self._generate_examples(45, 60)}

        def _generate_examples(self, start, stop):
            for index in range(start, stop):
                yield index, {"image": Image.fromarray(IMAGES[index, :, :, 0]), "label": int(LABELS[index])}

    tfds.disable_progress_bar()
    Tiny(data_dir=folder, file_format="array_record").download_and_prepare()


def test_a_prepared_set_is_read_whole_and_then_kept(tmp_path: Path) -> None:
    prepare(tmp_path / "data")
    dataset = load_dataset("tiny", tmp_path / "data")
    assert content_hash(dataset.train_inputs, dataset.train_targets) == content_hash(
        IMAGES[:45], LABELS[:45].astype(np.int32)
    )
    assert content_hash(dataset.test_inputs, dataset.test_targets) == content_hash(
        IMAGES[45:], LABELS[45:].astype(np.int32)
    )
    shutil.rmtree(tmp_path / "data")
    again = load_dataset("tiny")
    np.testing.assert_array_equal(again.train_inputs, dataset.train_inputs)
    assert (again.sha256, again.classes) == (dataset.sha256, ("0", "1", "2"))


def test_images_of_different_sizes_are_refused(tmp_path: Path) -> None:
    prepare(tmp_path / "data", size=None)
    with pytest.raises(ValueError, match="tiny has images of different sizes"):
        load_dataset("tiny", tmp_path / "data")


def test_a_mocked_set_is_read_by_its_features() -> None:
    import tensorflow_datasets as tfds

    class Source(list):
        def __getitems__(self, indices):
            return [self[index] for index in indices]

    def examples(self, split, **kwargs):
        return Source({"image": np.full((32, 32, 3), i, np.uint8), "label": i % 10, "id": b""} for i in range(50))

    with tfds.testing.mock_data(num_examples=50, as_data_source_fn=examples):
        dataset = read_builder(tfds, tfds.builder("cifar10"), "cifar10")
    assert dataset.train_inputs.shape == (40, 32, 32, 3)
    assert len(dataset.classes) == 10
    np.testing.assert_array_equal(dataset.train_inputs[:, 0, 0, 0] % 10, dataset.train_targets)


def test_a_set_without_labels_is_refused() -> None:
    import tensorflow_datasets as tfds

    with (
        tfds.testing.mock_data(num_examples=5),
        pytest.raises(ValueError, match="binarized_mnist is no image-classification set"),
    ):
        read_builder(tfds, tfds.builder("binarized_mnist"), "binarized_mnist")


def test_without_files_and_network_it_says_at_once_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no network: switched off.*train-labels-idx1-ubyte.gz in .*/mnist,"):
        load_dataset("mnist", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"t10k-images-idx3-ubyte.gz, .* in a folder mnist/ of a data folder"):
        load_dataset("mnist")
    with pytest.raises(FileNotFoundError, match=r"'cifar10' is neither cached .* `tfds build cifar10 --file_format"):
        load_dataset("cifar10", tmp_path)


def test_a_missing_data_folder_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="the data folder nowhere does not exist"):
        load_dataset("mnist", "nowhere")


def test_an_unknown_name_has_suggestions() -> None:
    with pytest.raises(UnknownDatasetError, match="no data set 'fashion_mnits'; did you mean fashion_mnist") as caught:
        load_dataset("fashion_mnits")
    assert caught.value.close[0] == "fashion_mnist"


def test_raw_files_that_are_not_the_published_ones_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "kmnist"
    folder.mkdir()
    for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (folder / f"{part}-ubyte.gz").write_bytes(b"no pixels")
    with pytest.raises(ValueError, match=r"'kmnist': a raw file is not the published one: .*wrong checksum") as caught:
        load_dataset("kmnist", tmp_path)
    assert "\n" not in str(caught.value)


def tiny_dataset(name: str) -> Dataset:
    return from_arrays(IMAGES, LABELS, name=name)


def test_one_set_under_the_name_of_another_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    mnist, fashion = tiny_dataset("mnist"), from_arrays(255 - IMAGES, LABELS, name="fashion_mnist")
    published = {d.name: content_hash(d.train_inputs, d.train_targets) for d in (mnist, fashion)}
    monkeypatch.setattr(array_cache, "PUBLISHED", published)
    check_published(mnist)
    for name in ("mnist:3.0.1", "mnist/3.0.1"):
        check_published(dataclasses.replace(mnist, name=name))
        with pytest.raises(ValueError, match=f"what is stored as {name} holds fashion_mnist"):
            check_published(dataclasses.replace(fashion, name=name))
    check_published(fashion)
    check_published(from_arrays(IMAGES // 2, LABELS, name="anything"))
    for name in ("fashion_mnist", "anything"):
        with pytest.raises(ValueError, match=f"what is stored as {name} holds mnist; remove it"):
            check_published(tiny_dataset(name))
    with pytest.raises(ValueError, match="what is stored as mnist holds something else"):
        check_published(from_arrays(IMAGES // 2, LABELS, name="mnist"))


def test_a_poisoned_cache_is_refused() -> None:
    write_cached(tiny_dataset("mnist"))
    with pytest.raises(ValueError, match="what is stored as mnist holds something else"):
        load_dataset("mnist")


@pytest.mark.parametrize("name", ["tiny", "emnist/letters", "tiny:1.0.0"])
def test_the_cache_gives_back_what_was_kept(name: str) -> None:
    assert read_cached(name) is None
    dataset = tiny_dataset(name)
    write_cached(dataset)
    again = read_cached(name)
    assert again is not None
    assert (again.name, again.classes, again.sha256) == (name, dataset.classes, dataset.sha256)
    assert [path.name for path in cached_file(name).parent.iterdir()] == [cached_file(name).name]


def test_different_names_are_different_files() -> None:
    names = ["a/b", "a-b", "a:b", "a%2Fb"]
    assert len({cached_file(name) for name in names}) == len(names)
    assert {cached_file(name).parent for name in names} == {cached_file("a").parent}


def test_a_damaged_cache_is_named() -> None:
    write_cached(tiny_dataset("tiny"))
    path = cached_file("tiny")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=r"tiny\.npz is not a readable"):
        load_dataset("tiny")
    np.savez(path, x=IMAGES)
    with pytest.raises(ValueError, match=r"tiny\.npz is not a cached data set; delete it"):
        load_dataset("tiny")


@needs_published
def test_raw_mnist_is_prepared_by_tensorflow_datasets_and_kept() -> None:
    dataset = load_dataset("mnist", PUBLISHED_DIR)
    assert (dataset.train_inputs.shape, dataset.test_inputs.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    np.testing.assert_array_equal(
        np.bincount(dataset.test_targets), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    )
    assert read_cached("mnist") is not None
    shutil.move(cached_file("mnist"), cached_file("fashion_mnist"))
    with pytest.raises(ValueError, match="what is stored as fashion_mnist holds mnist; remove it"):
        load_dataset("fashion_mnist", PUBLISHED_DIR)


@needs_published
def test_mnist_files_in_the_folder_of_fashion_mnist_are_refused(tmp_path: Path) -> None:
    (tmp_path / "swapped").mkdir()
    (tmp_path / "swapped" / "fashion_mnist").symlink_to(Path(PUBLISHED_DIR).resolve() / "mnist")
    with pytest.raises(ValueError, match="'fashion_mnist': a raw file is not the published one"):
        load_dataset("fashion_mnist", tmp_path / "swapped")

"""A user's own file: which arrays it may hold, and what is said of a bad one."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from blur.data import npz_source
from blur.data.datasets import load_dataset

X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2


@pytest.mark.parametrize("inputs", ["inputs", "images", "x"])
@pytest.mark.parametrize("targets", ["targets", "labels", "y"])
def test_any_of_the_names_will_do(tmp_path: Path, inputs: str, targets: str) -> None:
    np.savez(tmp_path / "mine.npz", **{inputs: X, targets: Y})
    dataset = load_dataset(tmp_path / "mine.npz")
    assert dataset.name == "mine"
    assert dataset.train_inputs.shape == (32, 3)
    assert dataset.classes == ("0", "1")


def test_test_examples_of_the_file_are_used(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", x=X, y=Y, test_x=X[:5] + 1, test_labels=Y[:5])
    dataset = load_dataset(tmp_path / "mine.npz")
    assert len(dataset.train_inputs) == 40
    np.testing.assert_allclose(dataset.test_inputs, X[:5] + 1, rtol=1e-6)


def write_text(path: Path) -> None:
    path.write_text("a,b\n1,2\n")


def write_truncated(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    path.write_bytes(path.read_bytes()[:400])


def write_damaged(path: Path) -> None:
    np.savez_compressed(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)


def write_single_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, X)


def write_encrypted(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    set_flags(path, 1)


def write_unknown_compression(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    content = path.read_bytes()
    central = content.index(b"PK\x01\x02")
    path.write_bytes(content[: central + 10] + (99).to_bytes(2, "little") + content[central + 12 :])


def set_flags(path: Path, flags: int) -> None:
    """Sets the general purpose flags of the first entry, in its own header and in the directory."""
    content = bytearray(path.read_bytes())
    for position in (6, content.index(b"PK\x01\x02") + 8):
        content[position : position + 2] = flags.to_bytes(2, "little")
    path.write_bytes(content)


def write_damaged_lzma(path: Path) -> None:
    with zipfile.ZipFile(path, "w", compression=zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", bytes(1000))
    content = bytearray(path.read_bytes())
    content[44:60] = bytes(range(200, 216))
    path.write_bytes(content)


def write_impossible_shape(path: Path) -> None:
    """An array of 10^15 numbers, as its header has it."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**15,)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue())


def write_text_inside(path: Path) -> None:
    np.savez(path, x=X, y=Y)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("notes.txt", "hello")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (write_encrypted, "not a readable .npz file of plain arrays: .*encrypted"),
        (write_unknown_compression, "not a readable .npz file"),
        (write_damaged_lzma, "not a readable .npz file"),
        (write_impossible_shape, "not a readable .npz file"),
        (write_text_inside, "not a readable .npz file of plain arrays: 'notes.txt' is none"),
        (write_text, "not a readable .npz file"),
        (write_truncated, "not a readable .npz file"),
        (write_damaged, "not a readable .npz file"),
        (write_single_array, "not a readable .npz file of plain arrays: it holds a single array"),
        (lambda path: path.write_bytes(b""), "not a readable .npz file"),
        (lambda path: np.savez(path, x=X, y=np.array([{}] * 40)), "not a readable .npz file of plain arrays"),
        (lambda path: np.savez(path, x=X), r"holds the arrays \['x'\]; expected one of inputs, images, x and one of"),
        (lambda path: np.savez(path, a=X, y=Y), r"holds the arrays \['a', 'y'\]"),
        (lambda path: np.savez(path, x=X, images=X, y=Y), "holds both images and x; expected only one"),
        (lambda path: np.savez(path, x=X, y=Y[:9]), "40 inputs but 9 targets"),
        (lambda path: np.savez(path, x=X, y=Y, test_x=X), "belong together"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, write, message: str) -> None:
    path = tmp_path / "bad.npz"
    write(path)
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_expands_beyond_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.npz"
    np.savez_compressed(path, x=np.zeros((1000, 100)), y=Y)
    monkeypatch.setattr(npz_source, "MOST_BYTES", 800_000)
    with pytest.raises(ValueError, match=r"large\.npz is not .*: it expands to 80\d+ bytes; expected at most 800000"):
        load_dataset(path)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz: there is no such file"):
        load_dataset("nowhere.npz")

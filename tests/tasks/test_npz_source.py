"""A user's own file: which arrays it may hold, and what is said of a bad one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from blur.tasks.datasets import load_dataset

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


@pytest.mark.parametrize(
    ("write", "message"),
    [
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


def test_a_missing_file_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.npz: there is no such file"):
        load_dataset("nowhere.npz")

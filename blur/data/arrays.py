"""A data set as arrays in memory, and how one is made of arrays."""

from __future__ import annotations

import dataclasses
import hashlib

import numpy as np
from numpy.typing import ArrayLike

from blur.core.episode import Kind

TEST_SHARE = 0.2
"""Share of the examples that are held out for testing where a data set brings no test examples."""

FEWEST_EXAMPLES = 20
"""Fewer training examples than this cannot be divided into the pools that meta-training needs."""


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Examples to train on and to test on.

    Attributes:
      name: how tables and the command line call it.
      train_inputs: images `[n, h, w, c]`, uint8 or float32, or feature vectors `[n, f]`, float32.
      train_targets: class numbers `[n]`, int32, or for regression real values `[n, outputs]`, float32.
      test_inputs: the same for testing.
      test_targets: likewise.
      classes: names of the classes in the order of their numbers, as text; none for regression.
    """

    name: str
    train_inputs: np.ndarray
    train_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    classes: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """Classification where there are classes, else regression."""
        return "classification" if self.classes else "regression"

    @property
    def sha256(self) -> str:
        """The hash of all contents; see `content_hash`."""
        train = content_hash(self.train_inputs, self.train_targets)
        return hashlib.sha256((train + content_hash(self.test_inputs, self.test_targets)).encode()).hexdigest()


def content_hash(inputs: np.ndarray, targets: np.ndarray) -> str:
    """SHA-256 of examples with their targets, whatever their order: the hash of the sorted hashes of each one."""
    rows = zip(np.ascontiguousarray(inputs), np.ascontiguousarray(targets), strict=True)
    digests = sorted(hashlib.sha256(x.tobytes() + y.tobytes()).digest() for x, y in rows)
    header = f"{inputs.dtype} {inputs.shape} {targets.dtype} {targets.shape}".encode()
    return hashlib.sha256(header + b"".join(digests)).hexdigest()


def from_arrays(
    inputs: np.ndarray,
    targets: np.ndarray,
    *,
    test_inputs: np.ndarray | None = None,
    test_targets: np.ndarray | None = None,
    name: str = "arrays",
    seed: int = 0,
) -> Dataset:
    """A data set of arrays.

    Args:
      inputs: images `[n, h, w]` or `[n, h, w, c]`, or feature vectors `[n, f]` (numbers).
      targets: whole numbers or text `[n]` for classification, floating-point numbers `[n]` or `[n, outputs]` for
        regression.
      test_inputs: examples to test on; without them a fifth of the others, drawn by `seed`, is held out.
      test_targets: their targets.
      name: how tables call the data set.
      seed: of the random choice of test examples.

    Raises:
      ValueError: shapes, lengths, types or values that do not fit; the message says which.
    """
    inputs, targets = _stored_inputs(inputs, name), _stored_targets(targets, name)
    check_lengths(name, inputs, targets)
    if (test_inputs is None) != (test_targets is None):
        raise ValueError(f"{name}: test inputs and test targets belong together, but only one of them is given")
    if test_inputs is None or test_targets is None:
        order = np.random.default_rng(seed).permutation(len(inputs))
        test, train = np.split(order, [round(TEST_SHARE * len(inputs))])
        test_inputs, test_targets = inputs[test], targets[test]
        inputs, targets = inputs[train], targets[train]
    else:
        test_inputs, test_targets = _stored_inputs(test_inputs, name), _stored_targets(test_targets, name)
        check_lengths(name, test_inputs, test_targets)
        _check_alike(name, inputs, test_inputs)
        _check_alike(name, targets, test_targets)
    if len(inputs) < FEWEST_EXAMPLES:
        raise ValueError(f"{name}: {len(inputs)} training examples are too few; expected at least {FEWEST_EXAMPLES}")
    if targets.dtype.kind == "f":
        return Dataset(name, inputs, targets, test_inputs, test_targets, ())
    numbers, classes = _numbered(np.concatenate([targets, test_targets]), name)
    return Dataset(name, inputs, numbers[: len(inputs)], test_inputs, numbers[len(inputs) :], classes)


def checked_inputs(inputs: ArrayLike, name: str) -> np.ndarray:
    """Inputs as an array of numbers, checked but not changed.

    Raises:
      ValueError: they are not numbers `[n, features]`, `[n, h, w]` or `[n, h, w, c]`, or not finite.
    """
    inputs = np.asarray(inputs)
    if inputs.dtype.kind not in "uifb":
        raise ValueError(f"{name}: inputs have type {inputs.dtype}; expected numbers")
    if inputs.ndim not in (2, 3, 4) or 0 in inputs.shape:
        raise ValueError(
            f"{name}: inputs have shape {inputs.shape}; expected [n, features], [n, height, width] or "
            "[n, height, width, channels], nothing empty"
        )
    _check_finite(inputs, f"{name}: inputs")
    return inputs


def checked_targets(targets: ArrayLike, name: str) -> np.ndarray:
    """Labels `[n]` of any whole-number, boolean or text type, or real values `[n, outputs]` of any float type.

    Raises:
      ValueError: they are neither, or not finite.
    """
    targets = np.asarray(targets)
    if targets.dtype.kind not in "uifbU":
        raise ValueError(
            f"{name}: targets have type {targets.dtype}; expected whole numbers or text (classification) or "
            "floating-point numbers (regression)"
        )
    if targets.ndim == 1 and targets.dtype.kind == "f":
        targets = targets[:, None]
    if targets.ndim == 2 and targets.dtype.kind != "f" and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != (2 if targets.dtype.kind == "f" else 1) or 0 in targets.shape:
        raise ValueError(
            f"{name}: targets have type {targets.dtype} and shape {targets.shape}; expected labels [n] of whole "
            "numbers or text, or floating-point numbers [n] or [n, outputs]"
        )
    if targets.dtype.kind == "f":
        _check_finite(targets, f"{name}: targets")
    return targets


def check_lengths(name: str, inputs: np.ndarray, targets: np.ndarray) -> None:
    """Raises ValueError unless there is one target per input."""
    if len(inputs) != len(targets):
        raise ValueError(f"{name}: {len(inputs)} inputs but {len(targets)} targets; expected one target per input")


def _check_finite(values: np.ndarray, what: str) -> None:
    if values.dtype.kind != "f":
        return
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite, and is reported as such
        bad = int(np.sum(~np.isfinite(values.astype(np.float32))))
    if bad:
        raise ValueError(f"{what} hold {bad} values that are NaN, infinite or beyond float32; remove or replace them")


def _stored_inputs(inputs: np.ndarray, name: str) -> np.ndarray:
    """Images `[n, h, w, c]`, uint8 or float32, or features `[n, f]`, float32."""
    inputs = checked_inputs(inputs, name)
    if inputs.ndim == 3:
        inputs = inputs[..., None]
    return inputs if inputs.ndim == 4 and inputs.dtype == np.uint8 else inputs.astype(np.float32)


def _stored_targets(targets: np.ndarray, name: str) -> np.ndarray:
    """Labels `[n]`, or real values `[n, outputs]`, float32."""
    targets = checked_targets(targets, name)
    return targets.astype(np.float32) if targets.dtype.kind == "f" else targets


def _check_alike(name: str, train: np.ndarray, test: np.ndarray) -> None:
    """Training and test arrays differ only in their length."""
    if train.shape[1:] != test.shape[1:] or train.dtype.kind != test.dtype.kind:
        raise ValueError(
            f"{name}: training examples are {train.dtype} {train.shape[1:]} but test examples {test.dtype} "
            f"{test.shape[1:]}; expected the same"
        )


def _numbered(labels: np.ndarray, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class numbers 0 … classes − 1, int32, and the classes' names, in the order of the labels' values."""
    values, numbers = np.unique(labels, return_inverse=True)
    if not 2 <= len(values) <= len(labels) // 2:
        raise ValueError(
            f"{name}: {len(labels)} labels with {len(values)} different values; expected 2 classes or more, each with "
            "some examples (for regression, store the targets as floating-point numbers)"
        )
    return numbers.astype(np.int32), tuple(str(value) for value in values)

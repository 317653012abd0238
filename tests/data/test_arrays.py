"""Data sets from arrays: meanings of types, splits, and everything that can be wrong with them."""

from __future__ import annotations

import numpy as np
import pytest

from blur.data.arrays import content_hash, from_arrays

RNG = np.random.default_rng(0)
FEATURES = RNG.normal(size=(50, 3))
LABELS = np.arange(50) % 4


def rows(array: np.ndarray) -> list[bytes]:
    return sorted(row.tobytes() for row in array)


def test_whole_numbers_are_classes() -> None:
    dataset = from_arrays(FEATURES, 10 * LABELS - 5)
    assert dataset.kind == "classification"
    assert dataset.classes == ("-5", "5", "15", "25")
    assert dataset.train_inputs.dtype == np.float32
    assert set(dataset.train_targets.tolist()) == {0, 1, 2, 3}


def test_text_labels_are_classes() -> None:
    assert from_arrays(FEATURES, np.array(["cat", "dog"])[LABELS % 2]).classes == ("cat", "dog")


def test_a_column_of_labels_will_do() -> None:
    dataset = from_arrays(FEATURES, LABELS[:, None])
    assert dataset.train_targets.shape == (40,)


@pytest.mark.parametrize("shape", [(50,), (50, 1), (50, 3)])
def test_floating_point_numbers_are_regression(shape: tuple[int, ...]) -> None:
    dataset = from_arrays(FEATURES, RNG.normal(size=shape))
    assert dataset.kind == "regression"
    assert dataset.train_targets.shape == (40, shape[-1] if len(shape) == 2 else 1)


def test_images_stay_bytes_and_get_a_channel() -> None:
    dataset = from_arrays(RNG.integers(0, 256, (50, 4, 5), dtype=np.uint8), LABELS)
    assert dataset.train_inputs.shape == (40, 4, 5, 1)
    assert dataset.train_inputs.dtype == np.uint8


def test_a_fifth_is_held_out_and_nothing_is_lost() -> None:
    dataset = from_arrays(FEATURES, LABELS)
    together = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    assert len(dataset.test_inputs) == 10
    assert rows(together) == rows(FEATURES.astype(np.float32))


def test_the_seed_decides_what_is_held_out() -> None:
    first, again, other = (from_arrays(FEATURES, LABELS, seed=seed).test_inputs for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert rows(first) != rows(other)


def test_targets_stay_with_their_inputs() -> None:
    dataset = from_arrays(np.stack([LABELS, LABELS], axis=1), LABELS)
    np.testing.assert_array_equal(dataset.train_inputs[:, 0], dataset.train_targets)
    np.testing.assert_array_equal(dataset.test_inputs[:, 1], dataset.test_targets)


def test_given_test_examples_are_kept() -> None:
    dataset = from_arrays(FEATURES, LABELS, test_inputs=FEATURES[:7] + 1, test_targets=LABELS[:7])
    assert len(dataset.train_inputs) == 50
    np.testing.assert_allclose(dataset.test_inputs, FEATURES[:7] + 1, rtol=1e-6)


def test_the_content_hash_ignores_order_and_nothing_else() -> None:
    order = RNG.permutation(50)
    reference = content_hash(FEATURES, LABELS)
    assert content_hash(FEATURES[order], LABELS[order]) == reference
    assert content_hash(FEATURES, LABELS[order]) != reference
    assert content_hash(FEATURES + 1e-9, LABELS) != reference
    assert content_hash(FEATURES.astype(np.float32), LABELS) != reference


NAN = np.where(np.arange(50) == 3, np.nan, 1.0)


@pytest.mark.parametrize(
    ("inputs", "targets", "options", "message"),
    [
        (FEATURES[0], LABELS, {}, r"inputs have shape \(3,\); expected \[n, features\]"),
        (FEATURES[:, :0], LABELS, {}, r"inputs have shape \(50, 0\)"),
        (FEATURES.astype(complex), LABELS, {}, "inputs have type complex128; expected numbers"),
        (FEATURES * NAN[:, None], LABELS, {}, "inputs hold 3 values that are NaN"),
        (FEATURES * 1e300, LABELS, {}, "beyond float32"),
        (FEATURES, LABELS[:49], {}, "50 inputs but 49 targets"),
        (FEATURES, NAN, {}, "targets hold 1 values that are NaN"),
        (FEATURES, np.eye(4, dtype=int)[LABELS], {}, r"targets have type int64 and shape \(50, 4\); expected labels"),
        (FEATURES, LABELS.astype(object), {}, "targets have type object"),
        (FEATURES, 0 * LABELS, {}, "1 different values; expected 2 classes or more"),
        (FEATURES, np.arange(50), {}, "50 different values; .*for regression, store the targets as floating-point"),
        (FEATURES[:12], LABELS[:12], {}, "10 training examples are too few; expected at least 20"),
        (FEATURES, LABELS, {"test_inputs": FEATURES}, "belong together"),
        (FEATURES, LABELS, {"test_inputs": FEATURES[:, :2], "test_targets": LABELS}, "test examples float32"),
        (FEATURES, LABELS, {"test_inputs": FEATURES, "test_targets": LABELS * 1.0}, "but test examples float32"),
    ],
)
def test_what_does_not_fit_is_named(inputs, targets, options, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        from_arrays(inputs, targets, name="mine", **options)
    assert str(caught.value).startswith("mine: ")
    assert "\n" not in str(caught.value)

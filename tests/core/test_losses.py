"""Losses against their closed forms, computed in NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.core.losses import FOR_CLASSES, LOSSES, NOT_DIFFERENTIABLE, accuracy, frequency_weight, weighted_mean

OUTPUTS = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [-1.0, 0.5, 0.25], [4.0, 4.5, -2.0]])
CLASSES = np.array([0, 1, 2, 0])
TARGETS = np.where(np.arange(3) == CLASSES[:, None], 1.0, -1.0)
WEIGHT = np.array([1.0, 2.0, 0.5, 1.5])
ROWS = np.arange(4)

SOFTMAX = -np.log(np.exp(OUTPUTS)[ROWS, CLASSES] / np.exp(OUTPUTS).sum(axis=1))
SQUARES = (OUTPUTS - TARGETS) ** 2
CLOSED_FORMS = {
    "cross_entropy": SOFTMAX,
    "l2": SQUARES.mean(axis=1),
    "l2_class_weighted": (SQUARES * np.where(TARGETS > 0, 2 / 3, 1 / 3)).mean(axis=1),
    "accuracy": np.array([0.0, 0.0, 1.0, 1.0]),
}


def value(name: str, outputs: np.ndarray, targets: np.ndarray, weight: np.ndarray) -> float:
    with jax.enable_x64(True):
        return float(LOSSES[name](jnp.asarray(outputs), jnp.asarray(targets), jnp.asarray(weight)))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_equal_their_closed_forms(name: str) -> None:
    expected = np.average(CLOSED_FORMS[name], weights=WEIGHT)
    np.testing.assert_allclose(value(name, OUTPUTS, TARGETS, WEIGHT), expected, rtol=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_weight_zero_removes_an_example(name: str) -> None:
    weight = np.array([1.0, 1.0, 0.0, 1.0])
    kept = [0, 1, 3]
    expected = value(name, OUTPUTS[kept], TARGETS[kept], weight[kept])
    np.testing.assert_allclose(value(name, OUTPUTS, TARGETS, weight), expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cross_entropy", [np.log1p(np.exp(-2.0)), np.log1p(np.exp(0.5)), np.log1p(np.exp(3.0))]),
        ("l2", [1.0, 2.25, 16.0]),
        ("accuracy", [0.0, 1.0, 1.0]),
    ],
)
def test_one_output_is_a_decision_by_sign(name: str, expected: list[float]) -> None:
    outputs, targets = np.array([[2.0], [-0.5], [3.0]]), np.array([[1.0], [1.0], [-1.0]])
    np.testing.assert_allclose(value(name, outputs, targets, np.ones(3)), np.mean(expected), rtol=1e-12)


def test_class_weights_need_several_outputs() -> None:
    with pytest.raises(ValueError, match="weighs the outputs against each other, but there is only 1; use l2"):
        value("l2_class_weighted", OUTPUTS[:, :1], TARGETS[:, :1], WEIGHT)


def test_weights_balance_the_signs() -> None:
    np.testing.assert_allclose(frequency_weight(jnp.array([1.0] + [-1.0] * 9)), [0.9] + [0.1] * 9, rtol=1e-6)


def test_accuracy_is_the_share_of_correct_examples() -> None:
    shares = accuracy(jnp.float32(OUTPUTS), jnp.float32(TARGETS), jnp.float32(WEIGHT))
    np.testing.assert_allclose(shares, 3.0 / 5.0, rtol=1e-6)


def test_nothing_that_weighs_has_mean_zero() -> None:
    assert weighted_mean(jnp.ones(3), jnp.zeros(3)) == 0


@pytest.mark.parametrize("name", LOSSES)
def test_exactly_the_differentiable_have_a_gradient(name: str) -> None:
    slope = jax.grad(LOSSES[name])(jnp.float32(OUTPUTS), jnp.float32(TARGETS), jnp.float32(WEIGHT))
    assert bool(jnp.any(slope != 0)) == (name not in NOT_DIFFERENTIABLE)


def test_tables_speak_of_the_same_losses() -> None:
    assert set(LOSSES) - FOR_CLASSES == {"l2"}
    assert set(LOSSES) >= FOR_CLASSES | NOT_DIFFERENTIABLE

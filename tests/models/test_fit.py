"""Training and predicting on one's own arrays."""

from __future__ import annotations

import dataclasses
import inspect

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

from blur.core.episode import make_batch, make_spec
from blur.core.inner_loop import unroll
from blur.files.genomes import load_genome
from blur.models import fit
from blur.models.context import predict_in_context
from blur.models.fit import predict, predict_outputs, train
from blur.rules.in_context.constructed import GradientDescentAttention, gradient_descent
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.on_engine import data_space, engine_genome, weight_space
from blur.rules.in_context.transformer import Attend, Perceptron, Transformer
from blur.rules.optax_mlp import OptaxMLP

ADAM = OptaxMLP(hidden=(32,), optimizer="adam")
GENOME = {**ADAM.init_genome(jax.random.key(0)), "learning_rate": jnp.asarray(1e-2)}


def blobs(examples: int = 300, seed: int = 0):
    """Two-dimensional points around three centres, on very different scales, and their classes."""
    generator = np.random.default_rng(seed)
    classes = generator.integers(3, size=examples)
    centres = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    return (centres[classes] + 0.5 * generator.normal(size=(examples, 2))) * [1e-3, 1e3] + [7.0, -5.0], classes


def test_digits_are_learned_as_vectors_and_as_images() -> None:
    data = load_digits()
    for inputs in (data.data, data.images):
        model = train(ADAM, GENOME, inputs[:1200], data.target[:1200], steps=100)
        assert np.mean(predict(model, inputs[1200:]) == data.target[1200:]) > 0.85
        assert model.shape == inputs.shape[1:]
        assert model.labels == tuple(range(10))


@pytest.mark.parametrize("names", [np.array(["ant", "bee", "cow"]), np.array([7, -2, 40])])
def test_labels_come_back_as_they_were_given(names: np.ndarray) -> None:
    inputs, classes = blobs()
    model = train(ADAM, GENOME, inputs, names[classes], steps=60)
    predicted = predict(model, inputs)
    assert predicted.dtype.kind == names.dtype.kind
    assert np.mean(predicted == names[classes]) > 0.95
    assert set(model.labels) == set(names.tolist())


def test_booleans_are_classes() -> None:
    inputs, classes = blobs()
    model = train(ADAM, GENOME, inputs, classes == 1, steps=60)
    assert model.labels == (False, True)
    assert np.mean(predict(model, inputs) == (classes == 1)) > 0.95


@pytest.mark.parametrize("outputs", [None, 1, 2])
def test_regression_undoes_the_scale_of_its_targets(outputs: int | None) -> None:
    inputs, _ = blobs()
    linear = 1000 + 50 * (inputs - inputs.mean(0)) / inputs.std(0)
    targets = linear[:, 0] if outputs is None else linear[:, :outputs]
    rule = dataclasses.replace(ADAM, loss="l2")
    model = train(rule, GENOME, inputs, targets, steps=200)
    predicted = predict(model, inputs)
    assert predicted.shape == ((300, 2) if outputs == 2 else (300,))
    assert np.mean((predicted - targets.reshape(predicted.shape)) ** 2) < 0.05 * np.var(targets)


def test_one_example_at_a_time_gives_the_same() -> None:
    inputs, classes = blobs()
    model = train(ADAM, GENOME, inputs, classes, steps=20)
    many = predict_outputs(model, inputs[:7])
    for example, expected in zip(inputs[:7], many, strict=True):
        np.testing.assert_allclose(predict_outputs(model, example), expected, rtol=1e-5, atol=1e-6)
        assert predict(model, example).shape == ()
        assert predict(model, example) == np.asarray(model.labels)[expected.argmax()]


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, classes = blobs()
    whole = train(ADAM, GENOME, inputs, classes, steps=11, batch_size=32)
    outputs = predict_outputs(whole, inputs)
    monkeypatch.setattr(fit, "CHUNK_NUMBERS", 4 * 32 * 2)
    parts = train(ADAM, GENOME, inputs, classes, steps=11, batch_size=32)
    chex.assert_trees_all_close(whole.state.synapses, parts.state.synapses, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(predict_outputs(parts, inputs), outputs, rtol=1e-4, atol=1e-5)


def test_training_is_the_inner_loop_on_shuffled_epochs() -> None:
    """With batches of a third, three steps see every example once: the state is `unroll`'s on those batches."""
    inputs, classes = blobs(30)
    model = train(ADAM, GENOME, inputs, classes, steps=6, batch_size=10, seed=5)
    order = fit._shuffled_epochs(np.random.default_rng(5), 30, 60)
    assert sorted(order[:30]) == sorted(order[30:]) == list(range(30))
    assert not np.array_equal(order[:30], order[30:])
    standard = (inputs - inputs.mean(0)) / inputs.std(0)
    targets = 2.0 * np.eye(3)[classes] - 1
    rows = order.reshape(6, 10)
    support = make_batch(jnp.float32(standard[rows]), jnp.float32(targets[rows]))
    start = ADAM.init_state(GENOME, jax.random.key(5), make_spec(2, 3, 10))
    expected = unroll(ADAM, GENOME, start, support)[0]
    chex.assert_trees_all_close(model.state.synapses, expected.synapses, rtol=1e-4, atol=1e-5)


def test_the_same_seed_gives_the_same_network() -> None:
    inputs, classes = blobs()
    first, second, other = (train(ADAM, GENOME, inputs, classes, steps=3, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(predict_outputs(first, inputs), predict_outputs(second, inputs))
    assert not np.array_equal(predict_outputs(first, inputs), predict_outputs(other, inputs))


@pytest.mark.parametrize("constant", [0.0, 3.0, 0.1, 1 / 3, -1e6 / 7])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_features_do_no_harm(constant: float, dtype: type) -> None:
    inputs, classes = blobs()
    examples = np.column_stack([inputs, np.full(300, constant)]).astype(dtype)
    model = train(ADAM, GENOME, examples, classes, steps=60)
    assert model.inputs.std[-1] == 1
    assert np.mean(predict(model, examples) == classes) > 0.95


@pytest.mark.parametrize(
    ("inputs", "labels", "options", "message"),
    [
        (np.zeros((3, 2)), [0, 1], {}, "3 inputs but 2 targets"),
        (np.zeros(3), [0, 1, 0], {}, r"inputs have shape \(3,\); expected \[n, features\]"),
        (np.zeros((0, 2)), [], {}, "nothing empty"),
        (np.array([["a"], ["b"]]), [0, 1], {}, "inputs have type <U1; expected numbers"),
        (np.array([[np.nan], [1]]), [0, 1], {}, "inputs hold 1 values that are NaN"),
        (np.ones((2, 1)), [1.0, np.inf], {}, "targets hold 1 values that are NaN"),
        (np.ones((2, 1)), [1, 1], {}, "expected at least two classes"),
        (np.ones((2, 1)), [[1, 2], [0, 1]], {}, r"shape \(2, 2\); expected labels \[n\]"),
        (np.ones((2, 1)), [0, 1], {"steps": 0}, "steps is 0"),
        (np.ones((2, 1)), [0, 1], {"batch_size": 3}, "no more than the 2 examples"),
    ],
)
def test_arrays_that_do_not_fit_are_named(inputs, labels, options, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        train(ADAM, GENOME, inputs, labels, **options)


def test_prediction_names_the_expected_shape() -> None:
    inputs, classes = blobs()
    model = train(ADAM, GENOME, inputs, classes, steps=2)
    with pytest.raises(ValueError, match=r"shape \(4, 3\), expected \('examples', 2\) or \(2,\)"):
        predict(model, np.zeros((4, 3)))


@pytest.mark.parametrize(
    "rule", [LinearAttention(3, 2), Transformer(3, 2, (Perceptron(4), Attend("softmax")))], ids=type
)
def test_rules_that_learn_in_context_predict_from_one_context(rule) -> None:
    generator, genome = np.random.default_rng(0), rule.init_genome(jax.random.key(0))
    x, y, queries = (generator.normal(size=shape) for shape in ((6, 3), (6, 2), (4, 3)))
    context = make_batch(jnp.float32(x), jnp.float32(y))
    state, _ = unroll(rule, genome, rule.init_state(genome, jax.random.key(0), context), context, 2)
    measured = predict_in_context(rule, genome, x, y, queries, steps=2)
    np.testing.assert_allclose(measured, rule.predict(genome, state, jnp.float32(queries)), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"learns in context.*use blur.predict_in_context\(rule"):
        train(rule, genome, x, y)


def test_the_shipped_attention_learns_a_linear_function_in_context() -> None:
    file = load_genome("linear_attention_5")
    generator = np.random.default_rng(0)
    x, queries = generator.uniform(-0.5, 0.5, (20, 10)), generator.uniform(-0.5, 0.5, (99, 10))
    weights = generator.normal(size=10)
    predicted = predict_in_context(file.rule, file.genome, x, x @ weights, queries, steps=file.steps)
    assert predicted.shape == (99,)
    assert np.mean((predicted - queries @ weights) ** 2) < 0.05 * np.var(queries @ weights)


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("name", ["linear_attention_2", "softmax_attention"])
def test_shipped_models_predict_in_both_precisions(name: str, double: bool) -> None:
    x, y, queries = pairs_of_a_linear_function(10)
    expected = predict_in_context(*shipped(name), x, y, queries, steps=1)
    with jax.enable_x64(double):
        measured = predict_in_context(*shipped(name), x, y, queries, steps=1)
    assert measured.dtype == (np.float64 if double else np.float32)
    np.testing.assert_allclose(measured, expected, rtol=1e-4, atol=1e-5)


def shipped(name: str):
    file = load_genome(name)
    return file.rule, file.genome


def pairs_of_a_linear_function(features: int):
    generator = np.random.default_rng(0)
    x, queries = generator.uniform(-0.5, 0.5, (12, features)), generator.uniform(-0.5, 0.5, (5, features))
    return x, x @ generator.normal(size=features), queries


def steps_of_descent():
    """Rules that are gradient descent at a step size of 0.5, with their genomes of the default type."""
    attention = LinearAttention(3)
    return {
        "constructed": (attention, gradient_descent(attention, 0.5)),
        "numbers": (
            GradientDescentAttention(attention, plus_plus=True),
            {"step_size": jnp.asarray(0.5), "shrinkage": jnp.zeros(())},
        ),
        "data space": (data_space(), engine_genome(0.5, keep_synapses=False)),
        "weight space": (weight_space(), engine_genome(0.5, keep_synapses=True)),
    }


@pytest.mark.parametrize(
    ("double", "single_genome", "tolerance"), [(False, False, 1e-6), (True, False, 1e-13), (True, True, 1e-6)]
)
@pytest.mark.parametrize("name", ["constructed", "numbers", "data space", "weight space"])
def test_gradient_descent_in_context_in_both_precisions(name, double, single_genome, tolerance) -> None:
    x, y, queries = pairs_of_a_linear_function(3)
    weights = np.zeros(3)
    for _ in range(2):
        weights -= 0.5 * (x @ weights - y) @ x / len(x)
    with jax.enable_x64(double):
        rule, genome = steps_of_descent()[name]
        if single_genome:
            genome = jax.tree.map(jnp.float32, genome)
        measured = predict_in_context(rule, genome, x, y, queries, steps=2)
    assert measured.dtype == (np.float64 if double and not single_genome else np.float32)
    np.testing.assert_allclose(measured, queries @ weights, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"targets": np.zeros(6, int)}, r"shape \(6,\) and type int64; expected floating-point .*\[n\] or \[n, 1\]"),
        ({"targets": np.zeros((6, 2))}, r"targets have shape \(6, 2\).*\[n, 1\]"),
        ({"targets": np.zeros(5)}, "6 inputs but 5 targets"),
        ({"steps": 0}, "steps is 0; expected a whole number"),
        ({"steps": True}, "steps is True"),
        ({"steps": 1.0}, r"steps is 1\.0"),
        ({"steps": "1"}, "steps is '1'"),
        ({"queries": np.zeros((2, 4))}, r"queries have shape \(2, 4\).*\[n, 3\]"),
        ({"queries": np.zeros(3)}, r"queries have shape \(3,\).*\[n, 3\]"),
        ({"queries": np.full((2, 3), np.nan)}, "queries: inputs hold 6 values that are NaN"),
        ({"inputs": np.zeros(6)}, r"inputs have shape \(6,\).*\[n, 3\]"),
        ({"inputs": np.zeros((0, 3)), "targets": np.zeros(0)}, r"inputs have shape \(0, 3\).*\[n, 3\].*n ≥ 1"),
        ({"inputs": np.ma.masked_array(np.ones((6, 3)))}, "inputs are a masked array; .*weight="),
        ({"weight": np.ones(5)}, r"weight has shape \(5,\).*\(6,\)"),
        ({"weight": np.zeros(6)}, "at least one above 0"),
        ({"weight": -np.ones(6)}, "numbers ≥ 0"),
        ({"inputs": np.full((6, 3), 1e12), "steps": 9}, "not finite after 9 inner steps on inputs up to 1e\\+12"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_a_context_that_does_not_fit_is_named(changes: dict, message: str) -> None:
    rule = LinearAttention(3)
    arguments = {"inputs": np.ones((6, 3)), "targets": np.ones(6), "queries": np.ones((2, 3)), "steps": 1} | changes
    with pytest.raises(ValueError, match=message):
        predict_in_context(rule, rule.init_genome(jax.random.key(0)), **arguments)


@pytest.mark.parametrize(
    "rule",
    [LinearAttention(3), Transformer(3, 1, (Attend("softmax"), Attend()), tokens="alternating", positions=2)],
    ids=type,
)
def test_pairs_of_weight_0_are_as_good_as_not_there(rule) -> None:
    generator, genome = np.random.default_rng(0), rule.init_genome(jax.random.key(0))
    x, y, queries = (generator.normal(size=shape) for shape in ((6, 3), 6, (4, 3)))
    there = np.array([True, False, True, True, False, True])
    expected = predict_in_context(rule, genome, x[there], y[there], queries, steps=1)
    x[1], y[4] = np.nan, np.inf
    measured = predict_in_context(rule, genome, x, y, queries, steps=1, weight=there)
    np.testing.assert_allclose(measured, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="context: inputs hold 3 values that are NaN"):
        predict_in_context(rule, genome, x, y, queries, steps=1)


def test_divergence_is_an_error() -> None:
    inputs, classes = blobs()
    genome = {**GENOME, "learning_rate": jnp.asarray(jnp.inf)}
    with pytest.raises(ValueError, match="training diverged within 5 inner steps"):
        train(OptaxMLP(), genome, inputs, classes, steps=5)


def test_predicting_in_context_wants_a_rule():
    context = np.ones((2, 1)), np.ones(2), np.ones((1, 1))
    unchecked = inspect.unwrap(predict_in_context)  # by the types of its signature, which tests check
    with pytest.raises(TypeError, match=r"rule is a str; expected an update rule, such as load_genome\(…\)\.rule"):
        unchecked("linear_attention_5", {}, *context, steps=1)

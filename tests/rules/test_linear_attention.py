"""Attention is gradient descent: exact identities in both precisions, masks, streams, damping, and what it refuses."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blur.core.episode import Batch, Episode, make_batch
from blur.core.inner_loop import UNROLL_UP_TO, train_on, unroll
from blur.files.genomes import load_genome, save_genome
from blur.meta import Setting
from blur.rules.in_context.constructed import GradientDescentAttention, gd_plus_plus, gradient_descent
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.tokens import attend
from blur.tasks import InContextRegression

TOLERANCE = {jnp.float32: 1e-5, jnp.float64: 1e-10}
KEY = jax.random.key(0)
PRECISIONS = pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])


def regression(seed, inputs, outputs, count=7, queries=4, dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(seed), 4)
    x, y, q, w0 = (
        jax.random.normal(key, shape, dtype)
        for key, shape in zip(
            keys, [(count, inputs), (count, outputs), (queries, inputs), (outputs, inputs)], strict=True
        )
    )
    return make_batch(x / jnp.sqrt(inputs), y), q, w0


def descend(context, weights, step_size, steps):
    total = jnp.sum(context.weight)

    def loss(w):
        return jnp.sum(context.weight[:, None] * (context.inputs @ w.T - context.targets) ** 2) / (2 * total)

    for _ in range(steps):
        weights = weights - step_size * jax.grad(loss)(weights)
    return weights


def apply_layers(rule, genome, context, queries, steps):
    episode = Episode(context, make_batch(queries, jnp.zeros((len(queries), rule.outputs))), steps=steps)
    return rule.predict(genome, train_on(rule, genome, KEY, episode), queries)


def in_precision(genome, dtype):
    return jax.tree.map(lambda leaf: leaf.astype(dtype), genome)


def layer_by_hand(genome, tokens, context, weight, damping=1.0):
    """The formula of the module, head by head, for column vectors."""
    moment = context.T @ (weight[:, None] * context) / weight.sum()
    change = sum(
        genome["projection"][h] @ genome["value"][h] @ moment @ genome["key"][h].T @ genome["query"][h]
        for h in range(genome["key"].shape[0])
    )
    return tokens + damping * tokens @ change.T


@PRECISIONS
@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 1000),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 3),
    steps=st.integers(1, 5),
    tied=st.booleans(),
)
def test_constructed_layers_are_steps_of_gradient_descent(dtype, seed, inputs, outputs, steps, tied):
    with jax.enable_x64(True):
        context, queries, w0 = regression(seed, inputs, outputs, dtype=dtype)
        rule = LinearAttention(inputs, outputs, layers=None if tied else steps, heads=2, start=True)
        genome = in_precision(gradient_descent(rule, 0.3, w0), dtype)
        expected = queries @ descend(context, w0, 0.3, steps).T
        measured = apply_layers(rule, genome, context, queries, steps)
        assert measured.dtype == dtype
        assert jnp.max(jnp.abs(measured - expected)) <= TOLERANCE[dtype] * (1 + jnp.max(jnp.abs(expected)))


@pytest.mark.parametrize("steps", [UNROLL_UP_TO, UNROLL_UP_TO + 1])
def test_layers_in_a_loop_are_those_written_out(steps):
    with jax.enable_x64(True):
        context, queries, w0 = regression(1, 4, 2)
        rule = LinearAttention(4, 2, start=True)
        expected = queries @ descend(context, w0, 0.3, steps).T
        measured = apply_layers(rule, gradient_descent(rule, 0.3, w0), context, queries, steps)
        assert jnp.max(jnp.abs(measured - expected)) < 1e-10


@PRECISIONS
def test_step_sizes_may_differ_between_layers(dtype):
    with jax.enable_x64(True):
        context, queries, _ = regression(1, 4, 2, dtype=dtype)
        rule, sizes = LinearAttention(4, 2, layers=3), (0.5, 0.1, 0.3)
        genome = in_precision(gradient_descent(rule, jnp.array(sizes)), dtype)
        weights = jnp.zeros((2, 4), dtype)
        for size in sizes:
            weights = descend(context, weights, size, 1)
        measured = apply_layers(rule, genome, context, queries, 3)
        assert jnp.max(jnp.abs(measured - queries @ weights.T)) < TOLERANCE[dtype]


@PRECISIONS
def test_gd_plus_plus_shrinks_inputs_and_descends(dtype):
    with jax.enable_x64(True):
        context, queries, _ = regression(2, 4, 2, dtype=dtype)
        rule, step_size, shrinkage = LinearAttention(4, 2), 0.4, 0.2
        genome = in_precision(gd_plus_plus(rule, step_size, shrinkage), dtype)
        x, y, q, f = context.inputs, context.targets, queries, jnp.zeros((4, 2), dtype)
        for _ in range(3):  # on the transformed data, from W = 0
            hessian, change = x.T @ x / len(x), step_size * x.T @ y / len(x)
            y, f = y - x @ change, f + q @ change
            x, q = x - shrinkage * x @ hessian, q - shrinkage * q @ hessian
        measured = apply_layers(rule, genome, context, queries, 3)
        assert jnp.max(jnp.abs(measured - f)) < TOLERANCE[dtype]


@pytest.mark.parametrize("damping", [1.0, 0.75])
@pytest.mark.parametrize("targets_only", [False, True])
@pytest.mark.parametrize("tied", [False, True])
def test_random_layers_follow_the_formula_token_by_token(tied, targets_only, damping):
    with jax.enable_x64(True):
        context, queries, _ = regression(3, 3, 2)
        rule = LinearAttention(
            3, 2, layers=None if tied else 3, heads=2, key_size=4, targets_only=targets_only, damping=damping
        )
        genome = in_precision(LinearAttention.init_genome(rule, KEY), jnp.float64)
        genome = jax.tree.map(lambda leaf: 3 * leaf, genome)
        tokens = jnp.hstack([context.inputs, context.targets])
        asking = jnp.hstack([queries, jnp.zeros((4, 2))])
        weight = jnp.arange(1.0, 8.0)
        for index in range(3):
            layer = genome if tied else jax.tree.map(lambda leaf, index=index: leaf[index], genome)
            if targets_only:
                layer = layer | {"projection": layer["projection"].at[:, :3].set(0)}
            tokens, asking = (
                layer_by_hand(layer, tokens, tokens, weight, damping),
                layer_by_hand(layer, asking, tokens, weight, damping),
            )
        measured = apply_layers(rule, genome, context._replace(weight=weight), queries, 3)
        assert jnp.max(jnp.abs(measured + asking[:, 3:])) < 1e-12
        assert jnp.max(jnp.abs(asking[:, 3:])) > 1e-3


def test_fast_weights_take_tokens_through_all_layers():
    context, queries, _ = regression(3, 3, 1, dtype=jnp.float32)
    rule = LinearAttention(3)
    genome = rule.init_genome(KEY)
    state = train_on(rule, genome, KEY, Episode(context, context, steps=4))
    through = jnp.hstack([queries, jnp.zeros((4, 1))]) @ rule.fast_weights(genome, state)
    assert jnp.allclose(rule.predict(genome, state, queries), -through[:, 3:], atol=1e-6)


def test_a_masked_token_is_not_there():
    context, queries, _ = regression(4, 3, 1, dtype=jnp.float32)
    rule = LinearAttention(3)
    genome = jax.tree.map(lambda leaf: 5 * leaf, rule.init_genome(KEY))
    mask = jnp.array([1.0, 1, 1, 0, 1, 0, 0])
    spoilt = Batch(context.inputs + 1e3 * (1 - mask[:, None]), context.targets, mask)
    kept = jax.tree.map(lambda leaf: leaf[mask == 1], context)
    measured = apply_layers(rule, genome, spoilt, queries, 3)
    assert jnp.allclose(measured, apply_layers(rule, genome, kept, queries, 3), rtol=1e-5, atol=1e-6)
    nothing = apply_layers(rule, genome, context._replace(weight=jnp.zeros(7)), queries, 3)
    assert jnp.array_equal(nothing, jnp.zeros((4, 1)))


@pytest.mark.parametrize("rule", [LinearAttention(3), LinearAttention(3, layers=3, targets_only=True)])
def test_nan_in_a_masked_pair_reaches_nothing(rule):
    context, queries, _ = regression(4, 3, 1, dtype=jnp.float32)
    genome, mask = rule.init_genome(KEY), jnp.array([1.0, 1, 1, 0, 1, 0, 1])
    masked = context._replace(weight=mask)
    gap = (mask == 0)[:, None]
    spoilt = Batch(jnp.where(gap, jnp.nan, context.inputs), jnp.where(gap, jnp.inf, context.targets), mask)

    def outputs(genome, batch):
        return apply_layers(rule, genome, batch, queries, 3)

    assert jnp.array_equal(outputs(genome, spoilt), outputs(genome, masked))
    slope = jax.grad(lambda genome: outputs(genome, spoilt).sum())(genome)
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slope))


@PRECISIONS
def test_on_a_stream_the_construction_is_descent_on_minibatches(dtype):
    with jax.enable_x64(True):
        context, queries, w0 = regression(5, 3, 2, count=12, dtype=dtype)
        stream = jax.tree.map(lambda leaf: leaf.reshape(4, 3, *leaf.shape[1:]), context)
        rule = LinearAttention(3, 2, start=True)
        genome, weights = in_precision(gradient_descent(rule, 0.3, w0), dtype), w0
        for index in range(4):
            weights = descend(jax.tree.map(lambda leaf, index=index: leaf[index], stream), weights, 0.3, 1)
        state = rule.init_state(genome, KEY, jax.tree.map(lambda leaf: leaf[0], stream))
        state, _ = unroll(rule, genome, state, stream)
        assert jnp.max(jnp.abs(rule.predict(genome, state, queries) - queries @ weights.T)) < TOLERANCE[dtype]


def test_an_untrained_learner_predicts_with_its_start():
    context, queries, w0 = regression(6, 3, 2, dtype=jnp.float32)
    rule = LinearAttention(3, 2, start=True)
    genome = gradient_descent(rule, 0.3, w0)
    assert jnp.allclose(rule.predict(genome, rule.init_state(genome, KEY, context), queries), queries @ w0.T)


def test_a_step_beyond_the_last_layer_is_refused():
    context, queries, _ = regression(6, 3, 1, dtype=jnp.float32)
    rule = LinearAttention(3, layers=2)
    with pytest.raises(ValueError, match=r"3 inner steps, but .* room for 2; take fewer, or raise its layers$"):
        apply_layers(rule, rule.init_genome(KEY), context, queries, 3)
    with pytest.raises(ValueError, match=r"steps is 3, but the rule has room for 2; take fewer$"):
        Setting(GradientDescentAttention(rule), InContextRegression(3), steps=3, batch_size=5)


def test_a_step_beyond_the_last_layer_is_refused_without_unroll_too():
    context, queries, _ = regression(6, 3, 1, dtype=jnp.float32)
    rule = LinearAttention(3, layers=2)
    genome = rule.init_genome(KEY)
    state = train_on(rule, genome, KEY, Episode(context, context, steps=2))
    with pytest.raises(ValueError, match="3 inner steps, but the rule has 2 layers of their own"):
        rule.step(genome, state, context)
    further, _ = unroll(rule, genome, state, context, 1)  # does not know of the steps before
    with pytest.raises(ValueError, match="3 inner steps, but the rule has 2 layers of their own"):
        rule.predict(genome, further, queries)


def test_the_tunable_construction_is_the_constructed_genome():
    context, queries, _ = regression(7, 3, 1, dtype=jnp.float32)
    attention = LinearAttention(3, layers=2)
    rule = GradientDescentAttention(attention, plus_plus=True)
    genome = {"step_size": jnp.array([0.5, 0.3]), "shrinkage": jnp.array([0.1, 0.2])}
    assert jax.tree.structure(genome) == jax.tree.structure(rule.init_genome(KEY))
    expected = apply_layers(attention, gd_plus_plus(attention, **genome), context, queries, 2)
    assert jnp.array_equal(rule_output(rule, genome, context, queries), expected)


def rule_output(rule, genome, context, queries):
    episode = Episode(context, make_batch(queries, jnp.zeros((len(queries), 1))), steps=2)
    return rule.predict(genome, train_on(rule, genome, KEY, episode), queries)


def test_attend_reads_values_at_keys():
    context = jnp.array([[1.0, 2.0], [0.0, 3.0]])
    layer = {name: jnp.eye(2)[None] for name in ("projection", "value", "key", "query")}
    read = attend(layer, context, jnp.ones(2), jnp.array([[1.0, 0.0]]))
    assert jnp.array_equal(read, jnp.array([[1.0, 2.0]]))  # Σ_i e_i (e_i · e)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (make_batch(jnp.ones((4, 3)), jnp.ones((4, 1))), r"inputs \(4, 3\) and targets \(4, 1\).*5 \+ 1"),
        (make_batch(jnp.ones((4, 5)), jnp.ones((4, 2))), r"inputs \(4, 5\) and targets \(4, 2\).*5 \+ 1"),
        (make_batch(jnp.ones((0, 5)), jnp.ones((0, 1))), r"inputs \(0, 5\) and targets \(0, 1\).*n ≥ 1"),
        (make_batch(jnp.ones(5), jnp.ones(1)), r"inputs \(5,\) and targets \(1,\) with weights \(\).*\[n, 5\]"),
        (make_batch(jnp.ones((4, 5)), jnp.ones((4, 1)), jnp.ones(3)), r"targets \(4, 1\) with weights \(3,\).*\[n\]"),
        (make_batch(jnp.ones((4, 5), int), jnp.ones((4, 1))), "types int32, float32, int32, but the genome is float32"),
        (make_batch(jnp.ones((4, 5)), jnp.ones((4, 1)), jnp.ones(4, bool)), "float32, float32, bool, but the genome"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_a_context_that_does_not_fit_is_refused(context, message):
    rule = LinearAttention(5)
    genome = rule.init_genome(KEY)
    with pytest.raises(ValueError, match=message):
        rule.init_state(genome, KEY, context)
    with pytest.raises(ValueError, match=message):
        rule.step(genome, rule.init_state(genome, KEY, make_batch(jnp.ones((4, 5)), jnp.ones((4, 1)))), context)


def test_a_context_of_another_precision_is_refused():
    with jax.enable_x64(True):
        context, _, _ = regression(6, 5, 1)
        genome = in_precision(LinearAttention(5).init_genome(KEY), jnp.float32)
        with pytest.raises(ValueError, match="types float64, float64, float64, but the genome is float32"):
            LinearAttention(5).init_state(genome, KEY, context)


def test_a_genome_of_another_width_is_refused():
    context = make_batch(jnp.ones((4, 5)), jnp.ones((4, 1)))
    with pytest.raises(ValueError, match=r"differ at \['key'\]: the rule's has \(1, 6, 6\) and .* has \(1, 4, 4\)"):
        LinearAttention(5).init_state(LinearAttention(3).init_genome(KEY), KEY, context)


@pytest.mark.usefixtures("no_type_checks")
def test_queries_of_another_shape_are_refused():
    rule = LinearAttention(5)
    genome = rule.init_genome(KEY)
    state = rule.init_state(genome, KEY, make_batch(jnp.ones((4, 5)), jnp.ones((4, 1))))
    for shape in ((2, 3), (5,), (0, 5)):
        with pytest.raises(ValueError, match=rf"shape {re.escape(str(shape))}.*\[queries, 5\] with at least one"):
            rule.predict(genome, state, jnp.ones(shape))


@pytest.mark.parametrize("name", ["inputs", "outputs", "layers", "heads", "key_size"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} is 0"):
        LinearAttention(**({"inputs": 3} | {name: 0}))


@pytest.mark.parametrize(
    ("name", "value"), [("initial_scale", -1.0), ("initial_scale", float("nan")), ("damping", float("nan"))]
)
def test_scales_that_give_nan_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}; expected a finite number"):
        LinearAttention(3, **{name: value})


def test_constructions_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 1\).*\(1, 3\)"):
        gradient_descent(LinearAttention(3, start=True), 0.1, jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="start=True"):
        gradient_descent(LinearAttention(3), 0.1, jnp.zeros((1, 3)))
    with pytest.raises(ValueError, match="key_size is 3, but tokens have 4"):
        gd_plus_plus(LinearAttention(3, key_size=3), 0.1, 0.1)
    with pytest.raises(ValueError, match=r"step_size has shape \(2,\), but .* layers=3; expected shape \(\) or \(3,\)"):
        gradient_descent(LinearAttention(3, layers=3), jnp.ones(2))
    with pytest.raises(ValueError, match=r"shrinkage has shape \(2,\), but .* layers=None; expected shape \(\)"):
        gd_plus_plus(LinearAttention(3), 0.1, jnp.ones(2))
    with pytest.raises(ValueError, match="targets_only=True; expected targets_only=False"):
        gd_plus_plus(LinearAttention(3, targets_only=True), 0.1, 0.1)


def test_genomes_go_through_files(tmp_path):
    rule = GradientDescentAttention(LinearAttention(3, layers=2), plus_plus=True)
    file = load_genome(save_genome(tmp_path / "g.safetensors", rule, rule.init_genome(KEY)))
    assert file.rule == rule

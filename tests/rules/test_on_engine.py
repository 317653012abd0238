"""The engine of multi-state neurons is attention, and attention is gradient descent: one identity, two spaces."""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import blur
from blur.core.episode import Batch, Episode, make_batch
from blur.core.inner_loop import train_on
from blur.rules.in_context.constructed import gradient_descent
from blur.rules.in_context.linear_attention import LinearAttention
from blur.rules.in_context.on_engine import data_space, engine_genome, weight_space

KEY = jax.random.key(0)
TOLERANCE = {jnp.float32: 1e-5, jnp.float64: 1e-10}


INPUTS, OUTPUTS, CONTEXT, QUERIES = 4, 2, 6, 3
EXACTLY = pytest.mark.parametrize(
    ("dtype", "steps", "scale"), list(itertools.product((jnp.float32, jnp.float64), (1, 2, 5), (0, 1)))
)
"""In both precisions, over so many steps, and from W_0 of this scale."""


def episode(dtype, steps, start):
    """Pairs (x, y − W_0 x) and queries (x, −W_0 x) in one batch; the queries weigh nothing."""
    keys = jax.random.split(KEY, 2)
    x = jax.random.normal(keys[0], (CONTEXT + QUERIES, INPUTS), dtype) / 2
    w = jax.random.normal(keys[1], (OUTPUTS, INPUTS), dtype)
    y = (x @ w.T).at[CONTEXT:].set(0) - x @ start.T
    weight = jnp.ones(CONTEXT + QUERIES, dtype).at[CONTEXT:].set(0)
    return Episode(Batch(x, y, weight), make_batch(x[CONTEXT:], y[CONTEXT:]), steps=steps)


def random_start(scale, dtype):
    return scale * jax.random.normal(jax.random.key(1), (OUTPUTS, INPUTS), dtype)


def run(rule, genome, lives):
    genome = jax.tree.map(lambda leaf: leaf.astype(lives.support.inputs.dtype), genome)
    return train_on(rule, genome, KEY, lives), genome


@EXACTLY
def test_the_engine_is_the_constructed_layer(dtype, steps, scale):
    with jax.enable_x64(True):
        start = random_start(scale, dtype)
        lives = episode(dtype, steps, start)
        engine, _ = run(data_space(), engine_genome(0.3, keep_synapses=False), lives)
        attention = LinearAttention(INPUTS, OUTPUTS, start=True)
        x, r, weight = lives.support
        pairs = Batch(x, (r + x @ start.T) * weight[:, None], weight)
        state, genome = run(
            attention, gradient_descent(attention, 0.3, start), dataclasses.replace(lives, support=pairs)
        )
        tokens = jnp.hstack([x, r + weight[:, None] * (x @ start.T)])
        expected = (tokens @ attention.fast_weights(genome, state))[:, INPUTS:] - weight[:, None] * (x @ start.T)
        assert jnp.max(jnp.abs(engine.residual - expected)) < TOLERANCE[dtype]
        predicted = attention.predict(genome, state, lives.query.inputs)
        assert jnp.max(jnp.abs(-engine.residual[CONTEXT:] - predicted)) < TOLERANCE[dtype]
        assert jnp.max(jnp.abs(predicted - lives.query.inputs @ start.T)) > 0.01


@EXACTLY
def test_keeping_synapses_is_the_same_as_keeping_residuals(dtype, steps, scale):
    with jax.enable_x64(True):
        start = random_start(scale, dtype)
        lives, rule = episode(dtype, steps, start), weight_space()
        kept, genome = run(rule, engine_genome(0.3, keep_synapses=True), lives)
        moved, _ = run(data_space(), engine_genome(0.3, keep_synapses=False), lives)
        assert jnp.max(jnp.abs(kept.residual - moved.residual)) < TOLERANCE[dtype]
        predicted = rule.predict(genome, kept, lives.query.inputs) + lives.query.inputs @ start.T
        assert jnp.max(jnp.abs(predicted + moved.residual[CONTEXT:])) < TOLERANCE[dtype]


@EXACTLY
def test_queries_that_come_later_are_predicted_as_those_that_rode_along(dtype, steps, scale):
    with jax.enable_x64(True):
        start = random_start(scale, dtype)
        lives, rule = episode(dtype, steps, start), data_space()
        state, genome = run(rule, engine_genome(0.3, keep_synapses=False), lives)
        predicted = rule.predict(genome, state, lives.query.inputs) + lives.query.inputs @ start.T
        assert jnp.max(jnp.abs(predicted + state.residual[CONTEXT:])) < TOLERANCE[dtype]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        ((0, 3), (0, 2), r"inputs \(0, 3\) and targets \(0, 2\) with weights \(0,\); expected \[n, inputs\]"),
        ((5, 3), (4, 2), r"inputs \(5, 3\) and targets \(4, 2\)"),
        ((5, 0), (5, 2), r"inputs \(5, 0\) and targets \(5, 2\)"),
        ((5,), (5, 2), r"inputs \(5,\) and targets \(5, 2\)"),
    ],
)
@pytest.mark.usefixtures("no_type_checks")
def test_a_context_that_is_no_pairs_is_refused(x, y, message):
    lives = Batch(jnp.ones(x), jnp.ones(y), jnp.ones(x[:1]))
    with pytest.raises(ValueError, match=message):
        data_space().init_state(engine_genome(0.3, keep_synapses=False), KEY, lives)


def test_shapes_other_than_the_state_s_are_refused():
    rule, genome = data_space(), engine_genome(0.3, keep_synapses=False)
    state = rule.init_state(genome, KEY, make_batch(jnp.ones((5, 3)), jnp.ones((5, 2))))
    for x, y in (((5, 4), (5, 2)), ((5, 3), (5, 1)), ((4, 3), (4, 2))):
        with pytest.raises(ValueError, match=rf"inputs \({x[0]}, {x[1]}\).*the state is for \(5, 3\) and \(5, 2\)"):
            rule.step(genome, state, make_batch(jnp.ones(x), jnp.ones(y)))
    with pytest.raises(ValueError, match=r"queries have shape \(2, 4\), but the genome is for 3 inputs"):
        rule.predict(genome, state, jnp.ones((2, 4)))


@pytest.mark.parametrize("rule", [data_space(), weight_space()])
def test_pairs_are_a_context_that_is_not_shuffled(rule):
    with pytest.raises(ValueError, match="learns in context"):
        blur.train(rule, engine_genome(0.3, keep_synapses=False), np.ones((4, 2)), np.ones((4, 1)))


def test_without_the_targets_the_kept_synapse_is_not_descent():
    lives = episode(jnp.float32, 3, random_start(0, jnp.float32))
    kept, _ = run(weight_space(), engine_genome(0.3, keep_synapses=True), lives)
    wrong, _ = run(data_space(), engine_genome(0.3, keep_synapses=True), lives)
    assert jnp.max(jnp.abs(kept.residual - wrong.residual)) > 0.01

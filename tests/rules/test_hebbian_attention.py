"""The engine of multi-state neurons is attention, and attention is gradient descent: one identity, two spaces."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest

from blur.inner_loop import train_on
from blur.rule import Batch, Episode, make_batch
from blur.rules.attention import LinearAttention
from blur.rules.constructed_attention import gradient_descent
from blur.rules.hebbian_attention import data_space, engine_genome, weight_space

KEY = jax.random.key(0)
TOLERANCE = {jnp.float32: 1e-5, jnp.float64: 1e-10}
PRECISIONS = pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])


def episode(dtype, steps, inputs=4, outputs=2, context=6, queries=3):
    """Context pairs and queries in one batch; the queries weigh nothing."""
    keys = jax.random.split(KEY, 3)
    x = jax.random.normal(keys[0], (context + queries, inputs), dtype) / 2
    w = jax.random.normal(keys[1], (outputs, inputs), dtype)
    y = (x @ w.T).at[context:].set(0)
    weight = jnp.ones(context + queries, dtype).at[context:].set(0)
    return Episode(Batch(x, y, weight), make_batch(x[context:], y[context:]), steps=steps)


def run(rule, genome, lives):
    genome = jax.tree.map(lambda leaf: leaf.astype(lives.support.inputs.dtype), genome)
    return train_on(rule, genome, KEY, lives), genome


@PRECISIONS
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_the_engine_is_the_constructed_layer(dtype, steps):
    with jax.enable_x64(True):
        lives = episode(dtype, steps)
        engine, _ = run(data_space(), engine_genome(0.3, keep_synapses=False), lives)
        attention = LinearAttention(4, 2)
        state, genome = run(attention, gradient_descent(attention, 0.3), lives)
        tokens = jnp.hstack([lives.support.inputs, lives.support.targets])
        expected = (tokens @ attention.fast_weights(genome, state))[:, 4:]
        assert jnp.max(jnp.abs(engine.residual - expected)) < TOLERANCE[dtype]
        predicted = attention.predict(genome, state, lives.query.inputs)
        assert jnp.max(jnp.abs(-engine.residual[6:] - predicted)) < TOLERANCE[dtype]
        assert jnp.max(jnp.abs(predicted)) > 0.01


@PRECISIONS
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_keeping_synapses_is_the_same_as_keeping_residuals(dtype, steps):
    with jax.enable_x64(True):
        lives = episode(dtype, steps)
        rule = weight_space()
        kept, genome = run(rule, engine_genome(0.3, keep_synapses=True), lives)
        moved, _ = run(data_space(), engine_genome(0.3, keep_synapses=False), lives)
        assert jnp.max(jnp.abs(kept.residual - moved.residual)) < TOLERANCE[dtype]
        predicted = rule.predict(genome, kept, lives.query.inputs)
        assert jnp.max(jnp.abs(predicted + moved.residual[6:])) < TOLERANCE[dtype]


@PRECISIONS
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_queries_that_come_later_are_predicted_as_those_that_rode_along(dtype, steps):
    with jax.enable_x64(True):
        lives, rule = episode(dtype, steps), data_space()
        state, genome = run(rule, engine_genome(0.3, keep_synapses=False), lives)
        predicted = rule.predict(genome, state, lives.query.inputs)
        assert jnp.max(jnp.abs(predicted + state.residual[6:])) < TOLERANCE[dtype]


def test_without_the_targets_the_kept_synapse_is_not_descent():
    lives = episode(jnp.float32, 3)
    kept, _ = run(weight_space(), engine_genome(0.3, keep_synapses=True), lives)
    wrong, _ = run(data_space(), engine_genome(0.3, keep_synapses=True), lives)
    assert jnp.max(jnp.abs(kept.residual - wrong.residual)) > 0.01

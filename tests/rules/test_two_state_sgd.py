"""The two-state genome is backpropagation and SGD, to the last digits (claim B1)."""

import functools

import jax
import jax.numpy as jnp
import optax
import pytest

from blur.core.episode import Batch, make_batch
from blur.core.inner_loop import unroll
from blur.core.losses import LOSSES
from blur.network.activations import ACTIVATIONS
from blur.rules.two_state_sgd import TwoStateSGD

RATE = 0.1
# At these scales every layer of the deepest network moves by at least 1e-4.
INITIAL_SCALE = {"relu": 1.4, "tanh": 1.5, "sigmoid": 6.0}


DEPTHS, ACTIVATION_NAMES, LOSS_NAMES = (1, 2, 5, 10), tuple(INITIAL_SCALE), ("cross_entropy", "l2")
NETWORKS = [
    (depth, activation, LOSS_NAMES[(row + column) % 2])
    for row, depth in enumerate(DEPTHS)
    for column, activation in enumerate(ACTIVATION_NAMES)
]
"""Every depth with every activation, and both losses with each of both: every pair of choices occurs."""


def classification(key, dtype, steps):
    x_key, y_key = jax.random.split(key)
    labels = jax.random.randint(y_key, (steps, 20), 0, 5)
    return make_batch(jax.random.normal(x_key, (steps, 20, 12), dtype), 2 * jax.nn.one_hot(labels, 5, dtype=dtype) - 1)


def autodiff_sgd(params, batches, activation, loss):
    def objective(params, batch):
        hidden = batch.inputs
        for w, bias in params[:-1]:
            hidden = ACTIVATIONS[activation](hidden @ w + bias)
        return LOSSES[loss](hidden @ params[-1][0] + params[-1][1], batch.targets, batch.weight)

    optimiser = optax.sgd(RATE)

    def step(carry, batch):
        params, state = carry
        updates, state = optimiser.update(jax.grad(objective)(params, batch), state)
        return (optax.apply_updates(params, updates), state), None

    return jax.lax.scan(step, (params, optimiser.init(params)), batches)[0][0]


def as_mlp(synapses):
    return [(synapse.forward[0], synapse.bias[0]) for synapse in synapses]


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def engine_and_autodiff(rule, dtype, steps, key):
    """Parameters before, after the engine's steps and after autodiff's, from the same start on the same batches."""
    genome = jax.tree.map(lambda leaf: leaf.astype(dtype), rule.init_genome(key))
    genome["synapses"]["forward_scale"] = jnp.asarray(INITIAL_SCALE[rule.activation], dtype)
    batches = classification(key, dtype, steps)
    state = rule.init_state(genome, key, jax.tree.map(lambda leaf: leaf[0], batches))
    start = as_mlp(state.synapses)
    state, _ = unroll(rule, genome, state, batches)
    return start, as_mlp(state.synapses), autodiff_sgd(start, batches, rule.activation, rule.loss)


@pytest.mark.parametrize(("depth", "activation", "loss"), NETWORKS)
def test_one_update_equals_autodiff_in_float64(depth, activation, loss):
    rule = TwoStateSGD(hidden=(16,) * depth, activation=activation, loss=loss, learning_rate=RATE)
    with jax.enable_x64(True):
        start, engine, autodiff = engine_and_autodiff(rule, jnp.float64, 1, jax.random.key(1))
        for before, ours, theirs in zip(*map(jax.tree.leaves, (start, engine, autodiff)), strict=True):
            size = jnp.max(jnp.abs(theirs - before))
            assert size >= 1e-4
            assert jnp.max(jnp.abs((ours - before) - (theirs - before))) <= 1e-10 * size


@pytest.mark.parametrize(("depth", "activation", "loss"), NETWORKS)
def test_ten_steps_equal_autodiff_in_float32(depth, activation, loss):
    rule = TwoStateSGD(hidden=(16,) * depth, activation=activation, loss=loss, learning_rate=RATE)
    _, engine, autodiff = engine_and_autodiff(rule, jnp.float32, 10, jax.random.key(2))
    for ours, theirs in zip(*map(jax.tree.leaves, (engine, autodiff)), strict=True):
        assert jnp.max(jnp.abs(ours - theirs)) <= 1e-5 * jnp.max(jnp.abs(theirs))


def test_weight_zero_removes_an_example_exactly():
    rule = TwoStateSGD(hidden=(8,), learning_rate=RATE)
    genome = rule.init_genome(jax.random.key(0))
    batch = jax.tree.map(lambda leaf: leaf[0], classification(jax.random.key(3), jnp.float32, 1))
    state = rule.init_state(genome, jax.random.key(1), batch)
    weight = jnp.ones(20).at[12:].set(0)
    step = jax.jit(rule.step)
    weighted = step(genome, state, Batch(batch.inputs, batch.targets, weight))
    shortened = step(genome, state, make_batch(batch.inputs[:12], batch.targets[:12]))
    for ours, theirs in zip(*map(jax.tree.leaves, (weighted.synapses, shortened.synapses)), strict=True):
        assert jnp.max(jnp.abs(ours - theirs)) <= 1e-6

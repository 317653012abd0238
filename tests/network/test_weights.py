"""Every storage of synapses does what `Weights` derives from the forward map alone, and what it lacks is refused."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.network import Convolution
from blur.network.weights.base import Pair, Transforms, Weights
from blur.network.weights.connection import Connected
from blur.network.weights.dense import Dense, as_weights, mixes_after
from blur.network.weights.dual import empty_dual
from blur.network.weights.flat import flat

STATES, BATCH, SOURCES, TARGETS = 3, 5, 12, 7
CONVOLUTION = Convolution(channels=2, size=3, image=(3, 2, 2))


@pytest.fixture(autouse=True)
def double_precision():
    with jax.enable_x64(True):
        yield


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape, jnp.float64)


def dense(states=STATES):
    return Dense(normal(0, states, SOURCES, TARGETS))


def dual():
    weights = empty_dual(flat(dense().array), jnp.asarray(0.5), 4, BATCH)
    for seed in range(2):
        weights = weights.commit(jnp.asarray(0.9), weights.propose(pair(1, 2, seed), transforms(seed)))
    return weights


STORAGES = {
    "dense": dense,
    "one dense state": lambda: dense(1),
    "flat": lambda: flat(dense().array),
    "dual": dual,
    "convolution": lambda: Connected(normal(0, STATES, *CONVOLUTION.weights_shape), CONVOLUTION),
    "one state of a convolution": lambda: Connected(normal(0, 1, *CONVOLUTION.weights_shape), CONVOLUTION),
}
ANY = pytest.mark.parametrize("name", STORAGES)


def pair(carried_pre, carried_post, seed=0, targets=TARGETS):
    weight = jnp.asarray([1.0, 0.5, 0, 2, 1])
    return Pair(normal(seed + 1, carried_pre, BATCH, SOURCES), normal(seed + 2, carried_post, BATCH, targets), weight)


def transforms(seed=0, states=STATES):
    return Transforms(normal(seed + 3, STATES, states), normal(seed + 4, STATES, states))


def carried(name):
    """Numbers of states that an activity below may have."""
    return (1,) if name in ("flat", "dual") else (1, 2, STATES)


def close(ours, theirs):
    for a, b in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def as_array(weights, change):
    """A change as an array `[c, I, O]`: what it adds to synapses."""
    return as_weights(weights.commit(jnp.asarray(1.0), change)).dense() - weights.dense()


@ANY
def test_what_arrives_is_the_sum_over_sources_and_states(name):
    weights, transform = STORAGES[name](), normal(9, STATES, STATES)
    array = jnp.broadcast_to(weights.dense(), (STATES, *weights.shape[1:]))
    assert weights.dense().shape == weights.shape
    for states in carried(name):
        activity = normal(1, states, BATCH, SOURCES)
        expected = jnp.einsum("dbi,dc,cio->cbo", activity, transform[:states], array)
        close(weights.send(activity, transform), expected)
        close(Weights.send(weights, activity, transform), expected)
    for states in (1, 2, STATES):
        activity = normal(1, states, BATCH, weights.shape[2])
        expected = jnp.einsum("dbo,dc,cio->cbi", activity, transform[:states], array)
        close(weights.send_back(activity, transform), expected)
        close(Weights.send_back(weights, activity, transform), expected)


@ANY
def test_the_hebbian_change_is_the_transpose_of_sending_in_the_synapses(name):
    weights = STORAGES[name]()
    mixing = transforms(states=weights.shape[0])
    for states in carried(name):
        for upper in (1, 2, STATES):
            both = pair(states, upper, targets=weights.shape[2])
            post = jnp.einsum("b,dbo,dc->cbo", both.weight, both.post, mixing.post[:upper])
            pre = jnp.einsum("dbi,dc->cbi", both.pre, mixing.pre[:states])
            expected = jnp.einsum("cbi,cbo->cio", pre, post)
            change = weights.propose(both, mixing)
            if isinstance(weights, Connected):  # the sums of all places that share a synapse
                close(change, Weights.propose(weights, both, mixing))
                (expected,) = jax.linear_transpose(lambda w: w.dense(), weights)(expected)
                close(change, expected)
            else:
                close(as_array(weights, change), expected)
            close(as_array(weights, weights.scaled(change, jnp.asarray(0.3))), 0.3 * as_array(weights, change))


@pytest.mark.parametrize("make", [dense, lambda: flat(dense().array)])
def test_the_derived_change_equals_the_faster_one(make):
    weights = make()
    (ours,), (theirs,) = (
        jax.tree.leaves(kind.propose(weights, pair(1, 2), transforms())) for kind in (type(weights), Weights)
    )
    close(ours, theirs)


@pytest.mark.parametrize(("batch", "targets", "after"), [(64, 2, True), (5, 7, False)])
def test_both_directions_equal_each_on_its_own(batch, targets, after):
    both = Pair(normal(1, 3, batch, SOURCES), normal(2, 2, batch, targets), normal(3, batch))
    assert mixes_after(both, states=STATES) is after
    up, down = Dense(normal(0, STATES, SOURCES, targets)), Dense(normal(1, STATES, targets, SOURCES))
    there, back = transforms(0), transforms(1)
    close(up.propose_both(both, there, down, back), (up.propose(both, there), down.propose(both.swapped, back)))


@ANY
def test_a_commit_keeps_and_adds(name):
    weights = STORAGES[name]()
    change = weights.propose(pair(1, 2, targets=weights.shape[2]), transforms(states=weights.shape[0]))
    kept = as_weights(weights.commit(jnp.asarray(0.7), change)).dense()
    close(kept, 0.7 * weights.dense() + as_array(weights, change))


LACKS = {
    "dense": {},
    "flat": {"arrays": r"needs synapses as arrays, .* use DenseSynapses\(flat_input=False\)$"},
    "dual": dict.fromkeys(("arrays", "elementwise"), "has no dual form; use dual_steps=None$"),
    "convolution": {"arrays": "needs one synapse for each pair of neurons"},
}


@pytest.mark.parametrize("name", LACKS)
@pytest.mark.parametrize("capability", ["arrays", "elementwise"])
def test_what_a_storage_lacks_is_refused_in_one_line(name, capability):
    weights, lacks = STORAGES[name](), LACKS[name]
    if capability not in lacks:
        return weights.need(capability, "this phase")
    with pytest.raises(ValueError, match=f"^this phase .*{lacks[capability]}"):
        weights.need(capability, "this phase")
    return None


def test_fan_in_counts_the_sources_of_a_target():
    weights = STORAGES["convolution"]()
    assert (dense().fan_in, weights.fan_in, weights.shape) == (SOURCES, 3 * 3 * 2, (STATES, SOURCES, 12))
    assert dataclasses.replace(weights, array=weights.array[:1]).shape == (1, SOURCES, 12)

"""Workloads: their operations against hand counts and XLA's, their episodes."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.benchmark.workloads import WORKLOADS, Workload, flop, random_episode

TINY = Workload("tiny", (5, 4, 3), states=2, batch=7, steps=1)


def test_flop_of_a_small_network_counted_by_hand():
    first, second, product = 5 * 4, 4 * 3, 2 * 7 * 2
    forward, backward = product * (first + second), product * second
    hebbian = product * (first + second) + product * second
    assert flop(TINY, "forward") == forward + backward + hebbian + forward == 3360
    assert flop(TINY, "gradient") == 3 * 3360
    assert flop(TINY, "forward", 16) == 16 * 3360


def test_flop_grows_with_steps_by_a_step_alone():
    longer = [flop(Workload("tiny", (5, 4, 3), states=2, batch=7, steps=steps), "forward") for steps in (0, 1, 3)]
    assert longer[0] == 2 * 7 * 2 * 32
    assert longer[2] - longer[1] == 2 * (longer[1] - longer[0])


def test_the_first_layer_of_wide_needs_4_3_gflop():
    with_hidden, without = (flop(Workload("wide", sizes), "forward") for sizes in ((784, 256, 128, 10), (256, 128, 10)))
    backward_twin = 2 * 10 * 2 * 128 * 4 * 256 * 128  # of what is the first layer once the input layer is gone
    assert with_hidden - without - backward_twin == pytest.approx(4.3e9, rel=5e-3)


def test_flop_equals_what_xla_counts_for_the_products_alone():
    batch, states, (inputs, hidden, outputs) = TINY.batch, TINY.states, TINY.sizes

    def products(x, wide, neurons, w, v, shown):
        """One step and a query: forward through both layers, back through one, and the Hebbian sums."""
        up = [x @ wide, jnp.einsum("cbi,cio->cbo", neurons, w)]
        down = jnp.einsum("cbo,coi->cbi", shown, v)
        hebbian = [jnp.einsum("bi,cbo->cio", x, neurons), jnp.einsum("cbi,cbo->cio", neurons, shown)]
        backward = jnp.einsum("cbo,cbi->coi", shown, neurons)
        return up, down, hebbian, backward, [(1 + x) @ wide, jnp.einsum("cbi,cio->cbo", 1 + neurons, w)]

    shapes = [
        (batch, inputs),
        (inputs, states * hidden),
        (states, batch, hidden),
        (states, hidden, outputs),
        (states, outputs, hidden),
        (states, batch, outputs),
    ]
    lowered = jax.jit(products).lower(*(jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes))
    additions = batch * inputs + states * batch * hidden  # the query is another batch: 1 + x
    assert lowered.cost_analysis()["flops"] - additions == flop(TINY, "forward")


@pytest.mark.parametrize("name", WORKLOADS)
def test_episodes_have_the_sizes_of_their_workload(name):
    workload = WORKLOADS[name]
    episode = jax.eval_shape(lambda key: random_episode(workload, key), jax.random.key(0))
    assert episode.support.inputs.shape == (workload.steps, workload.batch, workload.sizes[0])
    assert episode.query.targets.shape == (workload.batch, workload.sizes[-1])


def test_boolean_targets_are_xor_and_the_others_one_hot():
    xor = random_episode(WORKLOADS["boolean"], jax.random.key(0)).query
    np.testing.assert_array_equal(xor.targets[:, 0], np.sign(xor.inputs[:, 0] * xor.inputs[:, 1]))
    classes = random_episode(TINY, jax.random.key(0)).support.targets
    np.testing.assert_array_equal(np.sort(classes, axis=-1), np.broadcast_to([-1.0, -1.0, 1.0], classes.shape))

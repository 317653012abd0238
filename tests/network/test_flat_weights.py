"""The input's synapses as one matrix: the same numbers as the array, and refused where it is read state by state."""

from __future__ import annotations

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from blur.core.episode import Episode, make_batch
from blur.core.inner_loop import episode_loss
from blur.core.losses import cross_entropy
from blur.core.phases import chain
from blur.network.amendments import Oja, TieStates
from blur.network.ends import Readout
from blur.network.hebbian import ApplyChange
from blur.network.synapse_norm import NormaliseSynapses
from blur.network.weights.flat import by_state, flat
from blur.rules.bidirectional import Bidirectional

RULE = Bidirectional(hidden=(5, 4), states=3)


def with_phase(name, phase, *, flat_input):
    """The rule's chain with another phase, before the change is applied or in its place."""
    phases = dict(RULE.chain.phases.named)
    phases["synapses"] = dataclasses.replace(phases["synapses"], flat_input=flat_input)
    apply = phases.pop("apply")
    phases = {**phases, name: phase} if name == "apply" else {**phases, name: phase, "apply": apply}
    return chain(**phases, read=("input", "forward"), output=Readout())


def random_episode():
    inputs = jax.random.normal(jax.random.key(3), (4, 8, 6))
    labels = 2 * jax.nn.one_hot(jax.random.randint(jax.random.key(4), (4, 8), 0, 3), 3, dtype=inputs.dtype) - 1
    batches = make_batch(inputs, labels)
    return Episode(jax.tree.map(lambda leaf: leaf[:3], batches), jax.tree.map(lambda leaf: leaf[3], batches))


def loss(rule, genome, episode, remat=False):
    return episode_loss(rule, genome, jax.random.key(2), episode, cross_entropy, remat=remat)[0]


@pytest.mark.parametrize(
    "apply", [ApplyChange(per_layer="ends"), ApplyChange(activation="tanh", saturation_epsilon=0.1)]
)
def test_one_matrix_gives_the_same_loss_and_gradient(apply):
    with jax.enable_x64(True):
        found = []
        for flat_input in (True, False):
            rule = with_phase("apply", apply, flat_input=flat_input)
            genome = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), rule.init_genome(jax.random.key(1)))
            found.append(jax.value_and_grad(lambda g, rule=rule: loss(rule, g, random_episode(), remat=True))(genome))
        for ours, theirs in zip(*map(jax.tree.leaves, found), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "phase"), [("oja", Oja()), ("tie", TieStates()), ("normalise", NormaliseSynapses(rescale=True))]
)
def test_what_reads_synapses_state_by_state_refuses_one_matrix(name, phase):
    for flat_input in (True, False):
        rule = with_phase(name, phase, flat_input=flat_input)
        genome = rule.init_genome(jax.random.key(0))
        if flat_input:
            with pytest.raises(ValueError, match=r"one matrix; use DenseSynapses\(flat_input=False\)"):
                loss(rule, genome, random_episode())
        else:
            assert jnp.isfinite(loss(rule, genome, random_episode()))


def test_a_layer_of_several_states_is_one_clear_error():
    weights = flat(jnp.ones((2, 3, 4)))
    with pytest.raises(ValueError, match="the input carries 2 states, but its synapses are stored for one"):
        weights.send(jnp.ones((2, 5, 3)), jnp.eye(2))


def test_back_and_forth():
    weights = jax.random.normal(jax.random.key(0), (2, 3, 4))
    assert flat(weights).shape == weights.shape
    np.testing.assert_array_equal(flat(weights).dense(), weights)
    np.testing.assert_array_equal(by_state(flat(weights).matrix, 2), weights)


def test_a_rematerialised_step_computes_no_product_of_a_sweep_again():
    genome = RULE.init_genome(jax.random.key(1))
    gradient = jax.jit(jax.grad(lambda g: loss(RULE, g, random_episode(), remat=True)))
    program = gradient.lower(genome).compile().as_text()
    names = re.findall(r'op_name="([^"]*rematted_computation[^"]*)"', program)
    assert any("/forward/" in name for name in names)
    assert not [name for name in names if re.search(r"/(forward|backward)/.*dot_general", name)]
